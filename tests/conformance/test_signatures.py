"""Signatures of the official SDKs, and what becomes of those that do not fit."""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import urllib.parse
import uuid
import xml.etree.ElementTree as ElementTree

import pytest
from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_ecs20140526.client import Client as Ecs
from alibabacloud_sts20150401.client import Client as Sts
from alibabacloud_tea_openapi.client import Client as OpenApi
from alibabacloud_tea_openapi.utils_models import OpenApiRequest, Params
from darabonba.runtime import RuntimeOptions

from conftest import REGION


def code_of(call):
    with pytest.raises(Exception) as error:
        call()
    return error.value.code


def nothing(client):
    """A ROA call that no product has: its answer tells whether the signature was good."""
    params = Params(action="DescribeNothing", version="2015-12-15", protocol="HTTP", pathname="/nothing/a%20b", method="POST",
                    auth_type="AK", style="ROA", req_body_type="json", body_type="json")
    request = OpenApiRequest(query={"name": "a b*+/~中", "flag": "", "number": "1"}, body={"key": "value"})
    return lambda: client.call_api(params, request, RuntimeOptions())


@pytest.mark.parametrize("algorithm", [None, "v2"])
def test_every_signature_of_the_sdk_is_accepted(cloud, algorithm):
    ecs = cloud.client(Ecs, signature_algorithm=algorithm)
    filters = [ecs_models.DescribeInstancesRequestTag(key="a b*+/~中", value="")]
    found = ecs.describe_instances(ecs_models.DescribeInstancesRequest(region_id=REGION, tag=filters)).body
    assert found.total_count == 0
    roa = cloud.client(OpenApi, signature_algorithm=algorithm)
    assert code_of(nothing(roa)) == "InvalidAction.NotFound"


@pytest.mark.parametrize("algorithm", [None, "v2"])
def test_wrong_keys_are_told_apart(cloud, algorithm):
    def client(kind, **config):
        return cloud.client(kind, signature_algorithm=algorithm, **config)

    for call in [lambda **config: client(Sts, **config).get_caller_identity, lambda **config: nothing(client(OpenApi, **config))]:
        assert code_of(call(access_key_id="nobody")) == "InvalidAccessKeyId.NotFound"
        assert code_of(call(access_key_secret="guess")) == "SignatureDoesNotMatch"
        assert code_of(call(security_token="CAISnonsense")) == "InvalidSecurityToken.Malformed"


class Raw:
    """An RPC call signed by hand."""

    def __init__(self, cloud, secret="local", at=None, **changed):
        moment = at or datetime.datetime.now(datetime.timezone.utc)
        self.cloud = cloud
        params = {
            "Action": "DescribeRegions", "Version": "2014-05-26", "AccessKeyId": "local", "SignatureMethod": "HMAC-SHA1",
            "SignatureVersion": "1.0", "SignatureNonce": str(uuid.uuid4()), "Timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            **changed,
        }
        self.params = {name: value for name, value in params.items() if value is not None}
        quoted = urllib.parse.quote(urllib.parse.urlencode(sorted(self.params.items()), quote_via=urllib.parse.quote, safe="~"), safe="~")
        self.texts = {method: f"{method}&%2F&{quoted}" for method in ("GET", "POST")}
        self.secret = secret

    def send(self, method="GET", accept=None, signed=True):
        params = dict(self.params)
        if signed:
            digest = hmac.new(f"{self.secret}&".encode(), self.texts[method].encode(), hashlib.sha1).digest()
            params["Signature"] = base64.b64encode(digest).decode()
        query = urllib.parse.urlencode(params)
        headers = {"accept": accept} if accept else {}
        connection = http.client.HTTPConnection(self.cloud.address)
        if method == "GET":
            connection.request(method, f"/?{query}", headers=headers)
        else:
            connection.request(method, "/", query, {"content-type": "application/x-www-form-urlencoded", **headers})
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type"), answer.read()


def refusal(answer):
    status, _, body = answer
    return status, json.loads(body)["Code"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_wrong_has_its_own_status_and_code(cloud, method):
    def sent(signed=True, **changed):
        return refusal(Raw(cloud, **{"Format": "JSON", **changed}).send(method, signed=signed))

    now = datetime.datetime.now(datetime.timezone.utc)
    assert sent(secret="guess") == (400, "SignatureDoesNotMatch")
    assert sent(AccessKeyId="nobody") == (404, "InvalidAccessKeyId.NotFound")
    assert sent(at=now - datetime.timedelta(minutes=16)) == (400, "InvalidTimeStamp.Expired")
    assert sent(at=now + datetime.timedelta(minutes=16)) == (400, "InvalidTimeStamp.Expired")
    assert sent(Timestamp="now") == (400, "InvalidTimeStamp.Format")
    assert sent(SignatureMethod="HMAC-MD5") == (400, "InvalidSignatureMethod")
    assert sent(signed=False) == (400, "MissingSignature")
    for name in ["AccessKeyId", "Timestamp", "SignatureNonce", "SignatureMethod"]:
        assert sent(**{name: None}) == (400, f"Missing{name}")
    raw = Raw(cloud, Format="JSON")
    assert raw.send(method)[0] == 200
    assert refusal(raw.send(method)) == (400, "SignatureNonceUsed")


def test_a_mismatch_says_what_was_signed(cloud):
    raw = Raw(cloud, secret="guess", Format="JSON")
    message = json.loads(raw.send()[2])["Message"]
    assert message == f"Specified signature is not matched with our calculation. server string to sign is:{raw.texts['GET']}"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_answers_are_xml_unless_json_is_asked_for(cloud, method):
    for raw, accept in [(Raw(cloud), None), (Raw(cloud), "*/*"), (Raw(cloud, Format="XML"), "application/json")]:
        status, kind, body = raw.send(method, accept)
        assert (status, kind) == (200, "text/xml;charset=utf-8")
        root = ElementTree.fromstring(body)
        assert root.tag == "DescribeRegionsResponse"
        assert REGION in [region.findtext("RegionId") for region in root.findall("./Regions/Region")]
        assert root.findtext("RequestId")
    status, kind, body = Raw(cloud, secret="guess").send(method)
    assert (status, kind) == (400, "text/xml;charset=utf-8")
    root = ElementTree.fromstring(body)
    assert (root.tag, root.findtext("Code"), root.findtext("HostId")) == ("Error", "SignatureDoesNotMatch", cloud.address)
    for raw, accept in [(Raw(cloud), "application/json"), (Raw(cloud, Format="json"), None)]:
        status, kind, body = raw.send(method, accept)
        assert (status, kind) == (200, "application/json;charset=utf-8")
        assert json.loads(body)["Regions"]["Region"]
