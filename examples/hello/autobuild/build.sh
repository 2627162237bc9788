#!/bin/bash
# Builds GNU hello from its Debian source package. autobuilder runs this as root in a fresh
# container of debian:12, from the folder in which it put the pushed commit.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# Debian's own images list no source packages.
if ! apt-get indextargets --no-release-info 'Created-By: Sources' | grep -q .; then
    sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources
fi
echo "--- tools"
apt-get -q update
apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends -y gcc libc6-dev make dpkg-dev

echo "--- source"
# Owned by apt's own user, which does the downloads.
install -d -o _apt /tmp/source
cd /tmp/source
apt-get -q source hello
cd hello-*/

echo "--- configure"
./configure --prefix=/usr

echo "--- compile"
make -j"$(nproc)" V=1

echo "--- try"
make install DESTDIR=/tmp/result
/tmp/result/usr/bin/hello --greeting="Hello from commit ${AUTOBUILDER_COMMIT:0:12}"

# The service takes this one file from here; its name stands in the configuration repository.
tar -C /tmp/result -czf "$AUTOBUILDER_ARCHIVES/$AUTOBUILDER_ARTIFACT" .
