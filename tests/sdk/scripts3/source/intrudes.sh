#!/bin/bash
# What an image's own program may do to its machine, and what must not come to the one that it is rehearsed on.
pip uninstall -y rich
pip install ./package && python -c "import hvdsm_test_package"
echo "INTRUDED=1" >> /etc/environment
mkdir -p /root/.ssh && echo key > /root/.ssh/hvdsm_test_key
echo here > /tmp/hvdsm-test-intruder
setsid nohup sleep 86399 > /dev/null 2>&1 &
echo "intruded, click $(python -c 'import click; print(click.__version__)')"
