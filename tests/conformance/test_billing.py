"""What billing tells: the balance, modules and what they cost."""

import pytest
from alibabacloud_bssopenapi20171214 import models as m


def priced(bss, product, code, kind, config, **more):
    module = m.GetPayAsYouGoPriceRequestModuleList(module_code=code, price_type=kind, config=config)
    request = m.GetPayAsYouGoPriceRequest(
        product_code=product, subscription_type="PayAsYouGo", module_list=[module], **more)
    return bss.get_pay_as_you_go_price(request).body


def test_the_balance_is_a_text(bss):
    body = bss.query_account_balance().body
    assert body.success and body.code == "Success"
    assert body.data.currency == "CNY"
    assert float(body.data.available_amount.replace(",", "")) > 0


@pytest.mark.parametrize(
    ("product", "code", "kind", "config", "cost"),
    [
        ("ecs", "InstanceType", "Hour", "InstanceType:ecs.e-c1m1.large,IoOptimized:IoOptimized,ImageOs:linux", 0.094),
        ("ecs", "SystemDisk", "Hour", "SystemDisk.Category:cloud_essd,SystemDisk.Size:40", 0.084),
        ("ecs", "DataDisk", "Hour", "DataDisk.Category:cloud_essd,DataDisk.Size:100", 0.21),
        ("ecs", "InternetMaxBandwidthOut", "Hour", "InternetMaxBandwidthOut:5120,InternetMaxBandwidthOut.IsFlowType:5", 0.3125),
        ("ecs", "InternetTrafficOut", "Usage", "InternetTrafficOut:1", 0.8),
        ("eip", "InstanceRent", "Hour", "InstanceRent:1", 0.02),
        ("oss", "Storage", "Usage", "Storage:100", 12.0),
        ("oss", "GetRequest", "Usage", "GetRequest:10", 0.1),
        ("fc", "CU", "Usage", "CU:1000000", 110.0),
    ],
)
def test_modules_are_priced(bss, product, code, kind, config, cost):
    body = priced(bss, product, code, kind, config, region="cn-chengdu")
    assert body.success, body
    assert body.data.module_details.module_detail[0].cost_after_discount == pytest.approx(cost)


def test_several_modules_at_once_are_answered_in_order(bss):
    configs = {"InstanceType": "InstanceType:ecs.g7.large", "SystemDisk": "SystemDisk.Category:cloud_essd,SystemDisk.Size:40"}
    modules = [
        m.GetPayAsYouGoPriceRequestModuleList(module_code=code, price_type="Hour", config=f"{config},Region:cn-hangzhou")
        for code, config in configs.items()
    ]
    request = m.GetPayAsYouGoPriceRequest(product_code="ecs", subscription_type="PayAsYouGo", module_list=modules)
    details = bss.get_pay_as_you_go_price(request).body.data.module_details.module_detail
    assert [detail.module_code for detail in details] == list(configs)


@pytest.mark.parametrize(
    ("product", "config", "code"),
    [
        ("rds", "InstanceType:ecs.g7.large", "ProductNotFind"),
        ("ecs", "InstanceType:ecs.none", "PRICING_PLAN_RESULT_NOT_FOUND"),
        ("ecs", "IoOptimized:IoOptimized", "MissingParameter"),
        ("ecs", "nonsense", "InvalidParameter"),
    ],
)
def test_a_failure_is_an_answer(bss, product, config, code):
    body = priced(bss, product, "InstanceType", "Hour", config, region="cn-hangzhou")
    assert body.success is False
    assert body.code == code
    assert body.data is None


def test_pricing_modules(bss):
    for product, codes in {"ecs": 5, "eip": 2, "oss": 4, "fc": 1}.items():
        request = m.DescribePricingModuleRequest(product_code=product, subscription_type="PayAsYouGo")
        body = bss.describe_pricing_module(request).body
        assert body.success
        modules = body.data.module_list.module
        attributes = {attribute.code for attribute in body.data.attribute_list.attribute}
        assert len(modules) == codes
        assert attributes == {name for module in modules for name in module.config_list.config_list}
    request = m.DescribePricingModuleRequest(product_code="rds", subscription_type="PayAsYouGo")
    body = bss.describe_pricing_module(request).body
    assert (body.success, body.code) == (False, "ProductNotFind")
