"""pip's configuration, read as pip reads it."""

from __future__ import annotations

import os
import sys

import pypi_simple
import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from caffezoo.weights.pip_settings import parse_config_list, read_pip_settings, settings_of


@pytest.fixture
def no_pip_variables(monkeypatch):
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return monkeypatch


def test_sections_and_aliases():
    config = parse_config_list(
        "global.index-url='https://one.example/simple'\n"
        "global.timeout='7'\n"
        "install.index-url='https://other.example/simple'\n"
        "download.index-url='https://two.example/simple'\n"
        ":env:.find-links='a  b'\n"
        "global.trusted-host='h1\\nh2:8080'\n"
        "nonsense\n"
        "global.cert=unquoted\n"
    )
    settings = settings_of(config)
    assert settings.index_urls == ("https://two.example/simple",)
    assert settings.timeout_s == 7
    assert settings.find_links == ("a", "b")
    assert settings.trusted_hosts == ("h1", "h2:8080")
    assert settings.cert is None


def test_without_configuration_the_default_is_not_ours():
    assert settings_of({}).index_urls == (PYPI_SIMPLE_ENDPOINT,)
    assert pypi_simple.PYPI_SIMPLE_ENDPOINT.startswith("https://")


def test_no_index_leaves_the_links():
    settings = settings_of({"no-index": "true", "index-url": "https://x.example", "find-links": "/wheels"})
    assert settings.index_urls == ()
    assert settings.find_links == ("/wheels",)


def test_variables_and_files_through_a_real_pip(no_pip_variables, tmp_path):
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://file.example/simple\nproxy = http://proxy.example:3128\n")
    no_pip_variables.setenv("PIP_CONFIG_FILE", str(file))
    no_pip_variables.setenv("PIP_INDEX_URL", "https://user:secret@env.example/simple")
    no_pip_variables.setenv("PIP_EXTRA_INDEX_URL", "https://a.example/simple https://b.example/simple")
    no_pip_variables.setenv("PIP_CERT", "/ca.pem")
    settings = read_pip_settings()
    assert settings.index_urls[0] == "https://user:secret@env.example/simple"
    assert set(settings.index_urls[1:]) == {"https://a.example/simple", "https://b.example/simple"}
    assert settings.proxy == "http://proxy.example:3128"
    assert settings.cert == "/ca.pem"


def test_without_a_pip_the_variables_count(no_pip_variables, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    no_pip_variables.setenv("PIP_INDEX_URL", "https://env.example/simple")
    no_pip_variables.setenv("PIP_DEFAULT_TIMEOUT", "33")
    settings = read_pip_settings()
    assert settings.index_urls == ("https://env.example/simple",)
    assert settings.timeout_s == 33


def test_a_pip_py_in_the_working_directory_is_not_pip(no_pip_variables, monkeypatch, tmp_path):
    (tmp_path / "pip.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    no_pip_variables.setenv("PIP_INDEX_URL", "https://env.example/simple")
    assert read_pip_settings().index_urls[0] == "https://env.example/simple"
    assert not (tmp_path / "ran").exists()
