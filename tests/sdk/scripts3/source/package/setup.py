from setuptools import setup

setup(name="hvdsm-test-package", version="1.0", packages=["hvdsm_test_package"])
