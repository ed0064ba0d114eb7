#!/bin/sh
# Writes what an environment has: Python's distributions as CycloneDX, Debian's packages with versions beside it.
# The tool that lists them has an environment of its own, so that it is not listed.
set -eu
[ -x /opt/tool/bin/cyclonedx-py ] || { python3 -m venv /opt/tool && /opt/tool/bin/pip install --quiet cyclonedx-bom==7.5.0; }
/opt/tool/bin/cyclonedx-py environment --output-reproducible --of JSON --output-file /opt/wildgate/bom.cdx.json \
  /opt/wildgate/venv/bin/python3
dpkg-query --show --showformat '${Package} ${Version}\n' >/opt/wildgate/debian-packages.txt
