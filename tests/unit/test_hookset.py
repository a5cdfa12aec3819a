"""Hooks that certbot runs and never saves: checked with certbot's own functions, not with ours alone."""

import argparse
import copy

import pytest
from certbot import configuration

from certbot_guard import hookset


@pytest.fixture
def config(tmp_path):
    namespace = argparse.Namespace(
        config_dir=str(tmp_path), work_dir=str(tmp_path), logs_dir=str(tmp_path), http01_port=80, https_port=443,
        domains=[], pre_hook=None, post_hook="users post", deploy_hook=None, renew_hook=None, installer="guard",
        directory_hooks=True, ip_addresses=[])
    return configuration.NamespaceConfig(namespace)


def test_certbot_reads_our_hooks_and_would_save_the_users(config):
    hookset.register(config, pre="ours pre", deploy="ours deploy", post="ours post")
    assert (config.pre_hook, config.post_hook, config.deploy_hook) == ("ours pre", "ours post", "ours deploy")
    saved = vars(config.namespace)
    assert (saved["pre_hook"], saved["post_hook"], saved["deploy_hook"]) == (None, "users post", None)


def test_a_copy_of_the_configuration_keeps_both(config):
    hookset.register(config, pre="ours pre", deploy="ours deploy", post=hookset.AndGuard("ours post", "users post"))
    copied = copy.deepcopy(config)
    assert str.__eq__(copied.post_hook, "ours post")
    assert vars(copied.namespace)["post_hook"] == "users post"


def test_without_a_stop_no_pre_hook_is_registered(config):
    hookset.register(config, pre=None, deploy="ours deploy", post="ours post")
    assert config.pre_hook is None


def test_the_installer_named_in_the_file_is_what_is_saved(config):
    hookset.keep_installer(config, "apache")
    config.installer = "guard"  # what certbot's record_chosen_plugins does
    assert config.installer == "guard"
    assert vars(config.namespace)["installer"] == "apache"


def test_the_challenge_server_listens_elsewhere_and_what_is_saved_is_what_the_user_wrote(config):
    hookset.listen_at(config, "127.0.0.1", 785)
    copied = copy.deepcopy(config)
    for one in (config, copied):
        assert (one.http01_port, one.http01_address) == (785, "127.0.0.1")
        assert hookset.own_listener(one) == (80, "")
        assert vars(one.namespace)["http01_port"] == 80 and not vars(one.namespace).get("http01_address")


def test_certbot_takes_a_chained_hook_for_the_users_own():
    chained = hookset.AndGuard("ours", "users")
    assert "users" in {chained} and chained in {"users"}
    assert "users" in [chained] and chained in ["users"]
    assert "other" not in {chained}
    assert str(chained) + "" == "ours"


def test_own_hooks_takes_the_deploy_hook_under_either_name(config):
    config.renew_hook = "users renew"
    assert hookset.own_hooks(config) == {"pre_hook": None, "deploy_hook": "users renew", "post_hook": "users post"}


def test_a_hook_of_the_directory_is_recognised(config, tmp_path):
    hook = tmp_path / "pre.sh"
    hook.write_text("#!/bin/sh\n")
    assert not hookset.in_directory(config, str(hook), str(tmp_path))  # not executable: certbot does not run it
    hook.chmod(0o755)
    assert hookset.in_directory(config, str(hook), str(tmp_path))
    config.directory_hooks = False
    assert not hookset.in_directory(config, str(hook), str(tmp_path))
