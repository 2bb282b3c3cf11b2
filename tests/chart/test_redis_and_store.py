"""Redis and the store: their own Secrets, existing ones, and objects that outlive an uninstall."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.local.server import COMPACT
from tests.chart.conftest import Render


class TestSecrets:
    def test_nobody_is_default_but_the_file_is_read_in_its_name(self, render: Render) -> None:
        # Redis 7.0 leaves out, as it starts, every transaction of its own file that this user may not do.
        users = render().secret("fleet-redis")["users.acl"].splitlines()
        assert users[0].split()[:3] == ["user", "default", "off"]
        assert {"~*", "&*", "+@all"} <= set(users[0].split())

    def test_the_url_and_the_users_know_the_same_password(self, render: Render) -> None:
        data = render().secret("fleet-redis")
        assert data["url"] == f"redis://fleet:{data['password']}@fleet-redis:6379/0"
        users = {
            line.split()[1]: line.split()[3] for line in data["users.acl"].splitlines() if " on " in line
        }
        for user, key in (("fleet", "password"), ("keda", "keda-password")):
            assert users[user] == "#" + hashlib.sha256(data[key].encode()).hexdigest()
            assert len(data[key]) == 32
        assert data["password"] != data["keda-password"]
        assert data["password"] not in data["users.acl"]

    def test_a_secret_of_ones_own_takes_the_place_of_the_charts(self, render: Render) -> None:
        rendered = render({"redis": {"existingSecret": "mine"}, "store": {"existingSecret": "mine-too"}})
        assert not rendered.of("Secret")
        worker = rendered.pod_templates()["Deployment/fleet-worker-pdf"]["spec"]["containers"][0]
        refs = {
            variable["name"]: variable["valueFrom"]["secretKeyRef"]
            for variable in worker["env"]
            if "valueFrom" in variable
        }
        assert refs == {
            "FLEET_REDIS_URL": {"name": "mine", "key": "url"},
            "AWS_ACCESS_KEY_ID": {"name": "mine-too", "key": "access-key"},
            "AWS_SECRET_ACCESS_KEY": {"name": "mine-too", "key": "secret-key"},
        }
        authentication = rendered.one("TriggerAuthentication", "fleet-redis")["spec"]["secretTargetRef"]
        assert {entry["name"] for entry in authentication} == {"mine"}

    def test_redis_is_shown_its_users_and_no_password(self, render: Render) -> None:
        spec = render().pod_templates()["StatefulSet/fleet-redis"]["spec"]
        sources = next(volume for volume in spec["volumes"] if volume["name"] == "config")["projected"][
            "sources"
        ]
        assert [
            item["key"] for source in sources if "secret" in source for item in source["secret"]["items"]
        ] == ["users.acl"]
        assert "env" not in spec["containers"][0]


class TestServer:
    def configuration(self, render: Render, values: dict[str, Any]) -> dict[str, str]:
        text = render({"redis": values}).one("ConfigMap", "fleet-redis")["data"]["redis.conf"]
        lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
        return dict(lines)

    def test_it_keeps_entries_small_as_the_local_server_does(self, render: Render) -> None:
        assert COMPACT.items() <= self.configuration(render, {}).items()

    def test_it_takes_the_connections_of_a_large_fleet(self, render: Render) -> None:
        assert self.configuration(render, {})["maxclients"] == "20000"
        assert self.configuration(render, {"maxClients": 500})["maxclients"] == "500"

    @pytest.mark.parametrize("program", ["valkey", "redis"])
    def test_it_runs_under_either_name(self, render: Render, tmp_path: Path, program: str) -> None:
        for name in ("server", "cli"):
            stand_in = tmp_path / f"{program}-{name}"
            stand_in.write_text(f'#!/bin/sh\necho {program}-{name} "$@"\n')
            stand_in.chmod(0o755)
        container = render().pod_templates()["StatefulSet/fleet-redis"]["spec"]["containers"][0]

        def said(command: list[str]) -> str:
            shell = shutil.which(command[0])
            assert shell
            done = subprocess.run(
                [shell, *command[1:]], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
            )
            return done.stdout.strip()

        assert said(container["command"]) == f"{program}-server /etc/redis/redis.conf"
        for probe in ("startupProbe", "readinessProbe"):
            command = container[probe]["exec"]["command"]
            assert said(command) == f"{program}-cli -e --no-auth-warning --user probe --pass none ping"


class TestElsewhere:
    def test_a_redis_elsewhere_is_trusted_by_its_ca(self, render: Render) -> None:
        external = {
            "existingSecret": "my-redis",
            "urlKey": "address",
            "tls": {"caSecret": "my-ca", "caKey": "bundle.pem"},
            "keda": {"address": "r:6380"},
        }
        rendered = render({"redis": {"enabled": False, "external": external}})
        assert not rendered.of("StatefulSet")
        assert "fleet-redis" not in rendered.of("Service")
        spec = rendered.pod_templates()["Deployment/fleet-worker-pdf"]["spec"]
        container = spec["containers"][0]
        env = {variable["name"]: variable for variable in container["env"]}
        assert env["FLEET_REDIS_URL"]["valueFrom"]["secretKeyRef"] == {"name": "my-redis", "key": "address"}
        file = Path(env["FLEET_REDIS_CA_FILE"]["value"])
        mount = next(mount for mount in container["volumeMounts"] if mount["name"] == "redis-ca")
        volume = next(volume for volume in spec["volumes"] if volume["name"] == "redis-ca")
        assert Path(mount["mountPath"]) / volume["secret"]["items"][0]["path"] == file
        assert volume["secret"]["items"][0]["key"] == "bundle.pem"

    def test_without_a_ca_the_images_own_are_trusted(self, render: Render) -> None:
        external = {"existingSecret": "my-redis", "keda": {"address": "r:6380"}}
        pods = render({"redis": {"enabled": False, "external": external}}).pod_templates()
        container = pods["Deployment/fleet-beat"]["spec"]["containers"][0]
        assert "FLEET_REDIS_CA_FILE" not in {variable["name"] for variable in container["env"]}

    def test_documents_may_be_in_any_s3(self, render: Render) -> None:
        external = {"endpoint": "https://s3.example.org", "existingSecret": "mine", "accessKeyKey": "id"}
        store = {
            "enabled": False,
            "bucket": "papers",
            "prefix": "one/two",
            "region": "r",
            "external": external,
        }
        rendered = render({"store": store})
        settings = rendered.one("ConfigMap", "fleet")["data"]
        assert settings["FLEET_STORE_URL"] == "s3://papers/one/two"
        assert (settings["AWS_ENDPOINT_URL"], settings["AWS_REGION"]) == ("https://s3.example.org", "r")
        assert "fleet-store" not in rendered.of("Deployment")
        worker = rendered.pod_templates()["Deployment/fleet-worker-pdf"]["spec"]["containers"][0]
        key = next(variable for variable in worker["env"] if variable["name"] == "AWS_ACCESS_KEY_ID")
        assert key["valueFrom"]["secretKeyRef"] == {"name": "mine", "key": "id"}

    def test_a_role_needs_no_key(self, render: Render) -> None:
        rendered = render(
            {"store": {"enabled": False}, "serviceAccount": {"annotations": {"role": "reader"}}}
        )
        worker = rendered.pod_templates()["Deployment/fleet-worker-pdf"]["spec"]["containers"][0]
        assert not [variable for variable in worker["env"] if variable["name"].startswith("AWS_")]
        assert "AWS_ENDPOINT_URL" not in rendered.one("ConfigMap", "fleet")["data"]
        assert rendered.one("ServiceAccount", "fleet")["metadata"]["annotations"] == {"role": "reader"}


class TestWhatStays:
    def test_volume_claims_stay(self, render: Render) -> None:
        claim = render().one("PersistentVolumeClaim", "fleet-store")
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        redis_set = render().one("StatefulSet", "fleet-redis")["spec"]
        assert redis_set["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"

    def test_unless_they_are_not_to(self, render: Render) -> None:
        gone = {"persistence": {"keep": False}}
        rendered = render({"redis": gone, "store": gone})
        assert "annotations" not in rendered.one("PersistentVolumeClaim", "fleet-store")["metadata"]
        redis_set = rendered.one("StatefulSet", "fleet-redis")["spec"]
        assert redis_set["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"

    def test_size_and_class_can_be_chosen(self, render: Render) -> None:
        chosen = {"persistence": {"size": "3Gi", "storageClass": "fast"}}
        rendered = render({"redis": chosen, "store": chosen})
        specs = [
            rendered.one("PersistentVolumeClaim", "fleet-store")["spec"],
            rendered.one("StatefulSet", "fleet-redis")["spec"]["volumeClaimTemplates"][0]["spec"],
        ]
        for spec in specs:
            assert spec["storageClassName"] == "fast"
            assert spec["resources"]["requests"]["storage"] == "3Gi"
        # An empty name would mean "no class".
        assert "storageClassName" not in render().one("PersistentVolumeClaim", "fleet-store")["spec"]

    def test_a_trial_may_do_without(self, render: Render) -> None:
        none = {"persistence": {"enabled": False}}
        rendered = render({"redis": none, "store": none})
        assert not rendered.of("PersistentVolumeClaim")
        assert "volumeClaimTemplates" not in rendered.one("StatefulSet", "fleet-redis")["spec"]


def test_the_bucket_is_made_where_the_gateway_looks(render: Render) -> None:
    spec = render({"store": {"bucket": "papers"}}).pod_templates()["Deployment/fleet-store"]["spec"]
    assert spec["initContainers"][0]["command"] == ["mkdir", "-p", "/data/papers"]
    assert spec["containers"][0]["args"][-2:] == ["posix", "/data"]


def test_one_gateway_and_one_redis_at_a_time(render: Render) -> None:
    assert render().one("Deployment", "fleet-store")["spec"]["strategy"] == {"type": "Recreate"}
    assert render().one("StatefulSet", "fleet-redis")["spec"]["replicas"] == 1


def test_one_beat_at_a_time(render: Render) -> None:
    spec = render().one("Deployment", "fleet-beat")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
