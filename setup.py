"""Packaging of certbot-guard. Everything static lives here; tool settings are in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "certbot_guard" / "__init__.py").read_text("utf-8")).group(1)

setup(
    name="certbot-guard",
    version=VERSION,
    description="A certbot installer plugin: Apache comes back after every renewal, and people hear of every failure",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["certbot_guard", "certbot_guard.*"]),
    # man finds them where the environment's share/man is in its path
    data_files=[("share/man/man1", [str(page.relative_to(HERE)) for page in sorted((HERE / "docs/man").glob("*.1"))])],
    python_requires=">=3.9",
    install_requires=[
        "certbot>=1.21",
        # certbot <= 2.8 loads plugins through pkg_resources, which does not find zope.interface 8 under its name:
        # every certbot command would fail. Those versions run on Pythons before 3.12.
        "zope.interface<8; python_version < '3.12'",
        "zope.interface; python_version >= '3.12'",
        "apprise>=1.2.0",
        # X.509 questions; certbot itself requires it
        "cryptography",
        "click>=8.0",
        # the tables of status, history and doctor; those commands alone import it
        "rich>=12",
    ],
    extras_require={
        "docs": ["sphinx", "myst-parser"],
        "metrics": ["prometheus_client>=0.9"],
        "test": ["pytest>=7", "aiosmtpd", "pytest-timeout", "pytest-xdist>=3.2", "hypothesis", "prometheus_client",
                 "nox"],
    },
    entry_points={
        "certbot.plugins": ["guard = certbot_guard.plugin:Installer"],
        "console_scripts": ["certbot-guard = certbot_guard.cli:main"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Plugins",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Internet :: WWW/HTTP",
        "Topic :: Security",
        "Topic :: System :: Systems Administration",
    ],
)
