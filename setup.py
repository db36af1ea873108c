"""The package's metadata. Tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

# Read as text: the package cannot be imported before its dependencies are there.
version = re.search(
    r'^__version__ = "([^"]+)"$', (HERE / "aiohttp_sess" / "__init__.py").read_text(), re.MULTILINE
)
if version is None:
    raise RuntimeError("aiohttp_sess/__init__.py names no version")

REDIS = ["redis[hiredis]>=5.1"]
MEMCACHED = ["aiomcache>=0.8.2"]
OTEL = ["opentelemetry-api>=1.30"]  # the first with buckets of one's own
TESTING = ["pytest>=8", "pytest-aiohttp>=1.1"]
DEMO = ["jinja2>=3.1"]
BENCH = [*REDIS, *MEMCACHED, "aiohttp-session==2.12.1", "matplotlib>=3.9"]

setup(
    name="aiohttp-sess",
    version=version[1],
    description="Sessions for aiohttp: safe by default, nothing lost, nothing revived",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: AsyncIO",
        "Framework :: aiohttp",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: Session",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["aiohttp_sess", "aiohttp_sess.*"]),
    package_data={"aiohttp_sess": ["py.typed"]},
    zip_safe=False,
    install_requires=["aiohttp>=3.14", "cryptography>=44", "msgspec>=0.19"],
    extras_require={
        "redis": REDIS,
        "memcached": MEMCACHED,
        "otel": OTEL,
        "testing": TESTING,
        "demo": DEMO,
        "bench": BENCH,
        "dev": [
            *REDIS,
            *MEMCACHED,
            *OTEL,
            *TESTING,
            *DEMO,
            "docutils>=0.21",
            "hypothesis>=6.100",
            "mypy>=1.18",
            "opentelemetry-sdk>=1.30",
            "pytest-cov>=6",
            "ruff>=0.14",
            "towncrier>=24.8",
            "types-docutils",
        ],
    },
)
