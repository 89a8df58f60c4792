"""Roles that are assumed: by hand, by the SDK, and by its providers of credentials, which insist on TLS."""

import base64
import json
import time

import pytest
from alibabacloud_credentials.client import Client as Credentials
from alibabacloud_credentials.models import Config as CredentialsConfig
from alibabacloud_sts20150401 import models as m
from alibabacloud_sts20150401.client import Client as Sts
from alibabacloud_vpc20160428 import models as vpc_models
from alibabacloud_vpc20160428.client import Client as Vpc

from conftest import REGION

ROLE = "acs:ram::1000000000000001:role/deploy"
PROVIDER = "acs:ram::1000000000000001:oidc-provider/ack-rrsa-test"


@pytest.fixture
def user(cloud):
    """A RAM user: the account itself may not assume roles."""
    return cloud.client(Sts, access_key_id="local-user", access_key_secret="local-user")


def token(expires):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": "https://oidc.example.com", "sub": "system:serviceaccount:default:app", "aud": "sts.aliyuncs.com",
              "iat": int(time.time()), "exp": expires}
    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2lnbmF0dXJl"


def keys(credentials):
    return {
        "access_key_id": credentials.access_key_id,
        "access_key_secret": credentials.access_key_secret,
        "security_token": credentials.security_token,
    }


def code_of(call):
    with pytest.raises(Exception) as error:
        call()
    return error.value.code


@pytest.mark.parametrize("algorithm", [None, "v2"])
def test_a_session_acts_as_its_role(cloud, user, algorithm):
    answer = user.assume_role(m.AssumeRoleRequest(role_arn=ROLE, role_session_name="test", duration_seconds=900,
                                                  source_identity="ann")).body
    assert answer.source_identity == "ann"
    told = keys(answer.credentials)
    identity = cloud.client(Sts, signature_algorithm=algorithm, **told).get_caller_identity().body
    assert identity.identity_type == "AssumedRoleUser"
    assert identity.arn == answer.assumed_role_user.arn == "acs:ram::1000000000000001:assumed-role/deploy/test"
    assert identity.principal_id == answer.assumed_role_user.assumed_role_id
    networks = vpc_models.DescribeVpcsRequest(region_id=REGION)
    cloud.client(Vpc, signature_algorithm=algorithm, **told).describe_vpcs(networks)

    other = user.assume_role(m.AssumeRoleRequest(role_arn=ROLE, role_session_name="other")).body.credentials
    mixed = cloud.client(Sts, signature_algorithm=algorithm, **{**told, "security_token": other.security_token})
    assert code_of(mixed.get_caller_identity) == "InvalidSecurityToken.MismatchWithAccessKey"
    bare = cloud.client(Sts, signature_algorithm=algorithm, **{**told, "security_token": None})
    assert code_of(bare.get_caller_identity) == "MissingSecurityToken"


def test_identities_of_lasting_keys(sts, user):
    root = sts.get_caller_identity().body
    assert (root.identity_type, root.user_id, root.role_id) == ("Account", root.account_id, None)
    found = user.get_caller_identity().body
    assert (found.identity_type, found.arn) == ("RAMUser", "acs:ram::1000000000000001:user/local")


def test_roles_that_can_not_be_assumed(sts, user):
    def assume(client, **parameters):
        told = {"role_arn": ROLE, "role_session_name": "test", **parameters}
        return lambda: client.assume_role(m.AssumeRoleRequest(**told))

    assert code_of(assume(sts)) == "NoPermission"
    assert code_of(assume(user, role_arn="acs:ram::2000000000000002:role/deploy")) == "EntityNotExist.Role"
    assert code_of(assume(user, role_session_name="a b")) == "InvalidParameter.RoleSessionName"
    assert code_of(assume(user, duration_seconds=899)) == "InvalidParameter.DurationSeconds"
    assert code_of(assume(user, policy="{}")) == "InvalidParameter.PolicyGrammar"


def test_a_token_of_an_identity_provider_needs_no_key(cloud):
    nobody = cloud.client(Sts, access_key_id=None, access_key_secret=None)
    ask = {"role_arn": ROLE, "role_session_name": "pod", "oidcprovider_arn": PROVIDER}
    answer = nobody.assume_role_with_oidc(m.AssumeRoleWithOIDCRequest(oidctoken=token(int(time.time()) + 600), **ask)).body
    assert answer.oidctoken_info.subject == "system:serviceaccount:default:app"
    identity = cloud.client(Sts, **keys(answer.credentials)).get_caller_identity().body
    assert identity.arn == "acs:ram::1000000000000001:assumed-role/deploy/pod"
    expired = m.AssumeRoleWithOIDCRequest(oidctoken=token(1), **ask)
    assert code_of(lambda: nobody.assume_role_with_oidc(expired)) == "AuthenticationFail.OIDCToken.Expired"


@pytest.mark.parametrize("kind", ["ram_role_arn", "oidc_role_arn"])
def test_providers_of_credentials_exchange_theirs_over_tls(cloud, kind, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.authority))
    (tmp_path / "token").write_text(token(int(time.time()) + 600))
    own = {"access_key_id": "local-user", "access_key_secret": "local-user"}
    oidc = {"oidc_provider_arn": PROVIDER, "oidc_token_file_path": str(tmp_path / "token")}
    config = CredentialsConfig(type=kind, role_arn=ROLE, role_session_name=kind, sts_endpoint=cloud.secure,
                               **(own if kind == "ram_role_arn" else oidc))
    vpc = cloud.client(Vpc, access_key_id=None, access_key_secret=None, credential=Credentials(config))
    vpc.describe_vpcs(vpc_models.DescribeVpcsRequest(region_id=REGION))
    sts = cloud.client(Sts, access_key_id=None, access_key_secret=None, credential=Credentials(config))
    assert sts.get_caller_identity().body.arn.endswith(f"assumed-role/deploy/{kind}")
