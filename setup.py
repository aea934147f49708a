"""What setup.cfg cannot say: two parts of the package are at the top of the repository, and archives have them in the package.

They are copied where a wheel is built.  In a checkout, and in an installation that leads to one, hvdsm reads them at the top; a
symbolic link from the package would be lost by everything that hands files on without links.
"""

import os
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py

_ROOT = os.path.dirname(os.path.abspath(__file__))
# Where they are, and where the package has them.
_PARTS = (("vpc/training-cluster.yaml", "hvdsm/vpc/training-cluster.yaml"), ("containers", "hvdsm/images/containers"))


class _BuildPy(build_py):
    """Builds the package with the parts that are elsewhere; what an image is built of has not all of them."""

    def run(self) -> None:
        super().run()
        if getattr(self, "editable_mode", False):
            return
        for source, target in _PARTS:
            self._take(os.path.join(_ROOT, source), os.path.join(self.build_lib, target))

    @staticmethod
    def _take(source: str, target: str) -> None:
        if os.path.isdir(source):
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif os.path.isfile(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)


setup(cmdclass={"build_py": _BuildPy})
