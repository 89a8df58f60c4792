"""The same server over TLS, trusted by its own certificate authority and by nobody else's."""

import http.client
import ssl

import pytest
from alibabacloud_sts20150401.client import Client as Sts


def connect(cloud, name, context):
    host, port = cloud.secure.split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.connect()
    connection.sock = context.wrap_socket(connection.sock, server_hostname=name)
    return connection


def test_an_sdk_that_trusts_the_authority_calls_over_tls(cloud):
    sts = cloud.client(Sts, endpoint=cloud.secure, protocol="https", ca=str(cloud.authority))
    assert sts.get_caller_identity().body.identity_type == "Account"


def test_nobody_else_is_fooled(cloud):
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(cloud, "127.0.0.1", ssl.create_default_context())


@pytest.mark.parametrize("name", ["localhost", "bucket.localhost", "ecs.cn-beijing.aliyuncs.com", "b.oss-cn-hangzhou.aliyuncs.com"])
def test_its_certificate_is_good_for_every_name_that_leads_to_it(cloud, name):
    context = ssl.create_default_context(cafile=str(cloud.authority))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    connection = connect(cloud, name, context)
    connection.request("GET", "/_aliform/resources")
    assert connection.getresponse().status == 200
    connection.close()


def test_the_authoritys_key_is_private(cloud):
    assert cloud.authority.with_suffix(".key").stat().st_mode & 0o777 == 0o600
