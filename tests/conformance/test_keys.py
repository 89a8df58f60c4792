"""SSH key pairs: made, brought along, attached, deleted."""

import json
import subprocess

from alibabacloud_ecs20140526 import models as m

from conftest import REGION
from instances import STRANGER, refused, stage  # noqa: F401


def pairs(ecs, **more):
    return ecs.describe_key_pairs(m.DescribeKeyPairsRequest(region_id=REGION, **more)).body


def delete(ecs, *names):
    ecs.delete_key_pairs(m.DeleteKeyPairsRequest(region_id=REGION, key_pair_names=json.dumps(names)))


def test_a_key_pair_from_creation_to_nothing(ecs, tmp_path):
    create = m.CreateKeyPairRequest(region_id=REGION, key_pair_name="made", tag=[m.CreateKeyPairRequestTag(key="app", value="a")])
    made = ecs.create_key_pair(create).body
    assert made.key_pair_id and len(made.key_pair_finger_print.split(":")) == 16
    (found,) = pairs(ecs, key_pair_name="ma*", include_public_key=True).key_pairs.key_pair
    assert (found.key_pair_finger_print, found.tags.tag[0].tag_key) == (made.key_pair_finger_print, "app")
    # The private half really belongs to the public one.
    path = tmp_path / "key"
    path.write_text(made.private_key_body)
    path.chmod(0o600)
    derived = subprocess.run(["openssl", "pkey", "-in", str(path), "-noout", "-text"], capture_output=True, text=True)
    assert derived.returncode == 0 and "2048 bit" in derived.stdout, derived.stderr
    refused(lambda: ecs.create_key_pair(create), "KeyPair.AlreadyExist", status=400)
    refused(lambda: ecs.create_key_pair(m.CreateKeyPairRequest(region_id=REGION, key_pair_name="1")), "InvalidKeyPairName.Malformed")
    tags = [m.TagResourcesRequestTag(key="owner", value="me")]
    ecs.tag_resources(m.TagResourcesRequest(region_id=REGION, resource_type="keypair", resource_id=[made.key_pair_id], tag=tags))
    assert pairs(ecs, tag=[m.DescribeKeyPairsRequestTag(key="owner", value="me")]).total_count == 1
    delete(ecs, "made", "never-there")
    assert pairs(ecs).total_count == 0


def test_a_key_pair_on_an_instance(ecs, stage):
    public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
    for name in ("first", "second"):
        ecs.import_key_pair(m.ImportKeyPairRequest(region_id=REGION, key_pair_name=name, public_key_body=public))
    refused(lambda: ecs.import_key_pair(m.ImportKeyPairRequest(region_id=REGION, key_pair_name="third", public_key_body="ssh-rsa x")),
            "InvalidPublicKeyBody.Malformed", status=400)
    instance = stage.running(key_pair_name="first")
    assert stage.output(instance, "cat /root/.ssh/authorized_keys") == public + "\n"
    attach = m.AttachKeyPairRequest(region_id=REGION, key_pair_name="second", instance_ids=json.dumps([instance, STRANGER]))
    attached = ecs.attach_key_pair(attach).body
    assert (attached.total_count, attached.fail_count) == ("2", "1")
    assert {row.instance_id: row.success for row in attached.results.result} == {instance: "true", STRANGER: "false"}
    assert stage.describe(instance).key_pair_name == "second"
    attach.key_pair_name = "none"
    refused(lambda: ecs.attach_key_pair(attach), "InvalidKeyPairName.NotFound", status=404)
    refused(lambda: delete(ecs, "first", "second"), "InvalidParameter.KeypairAlreadyAttachedInstance", status=400)
    stage.delete(instance)
    delete(ecs, "first", "second")


def test_pages_of_key_pairs(ecs):
    public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    names = [f"page-{number:02}" for number in range(12)]
    for name in names:
        ecs.import_key_pair(m.ImportKeyPairRequest(region_id=REGION, key_pair_name=name, public_key_body=public))
    seen = []
    for number in (1, 2, 3):
        body = pairs(ecs, page_number=number, page_size=5)
        assert (body.total_count, body.page_number, body.page_size) == (12, number, 5)
        seen.extend(row.key_pair_name for row in body.key_pairs.key_pair)
    assert sorted(seen) == names
    refused(lambda: pairs(ecs, page_size=51), "InvalidParameter")
    refused(lambda: pairs(ecs, page_number=0), "InvalidParameter")
    refused(lambda: delete(ecs, *[f"k{number}" for number in range(101)]), "InvalidKeyPairNames.Malformed")
    refused(lambda: delete(ecs), "MissingKeyPairNames")
    delete(ecs, *names)
    assert pairs(ecs).total_count == 0
