#!/bin/sh
# The CUDA plug-in as it was linked: names the libraries it must load, takes from us only what
# libvesalius.so exports, and carries code for sm_80 and sm_90 and PTX. Needs no GPU.
# Usage: cuda_plugin_links.sh PLUGIN LIBVESALIUS CUOBJDUMP
set -eu
plugin=$1
ours=$2
cuobjdump=$3
if [ ! -e "$plugin" ]; then
  echo "skipped: the CUDA plug-in was not built"
  exit 77
fi
status=0
for name in libvesalius.so libtorch_cuda.so libc10_cuda.so libnccl.so.2 libcudart.so.13; do
  if ! readelf -d "$plugin" | grep -q "NEEDED.*\[$name\]"; then
    echo "not among the libraries that $plugin loads: $name"
    status=1
  fi
done
# Symbols of ours that it leaves to others, against those that libvesalius.so exports.
nm -D --undefined-only "$plugin" | awk '{print $2}' | grep vesalius | sort >"$plugin.wanted" || true
nm -D --defined-only "$ours" | awk '{print $3}' | sort >"$plugin.exported"
missing=$(comm -23 "$plugin.wanted" "$plugin.exported")
rm -f "$plugin.wanted" "$plugin.exported"
if [ -n "$missing" ]; then
  echo "undefined and not in $ours: $missing"
  status=1
fi
if ! nm -D --defined-only "$plugin" | grep -q VesaliusCudaProblem; then
  echo "$plugin does not export VesaliusCudaProblem"
  status=1
fi
if [ -x "$cuobjdump" ]; then
  for arch in sm_80 sm_90; do
    "$cuobjdump" --list-elf "$plugin" | grep -q "$arch" || { echo "no code for $arch"; status=1; }
  done
  "$cuobjdump" --list-ptx "$plugin" | grep -q ptx || { echo "no PTX"; status=1; }
fi
exit $status
