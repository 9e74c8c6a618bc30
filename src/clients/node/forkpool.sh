#!/bin/sh
# The command forkpool where npm does not link the binary itself. It becomes the binary, so signals and exit statuses
# are those of the binary, and nothing stays in between.
file=$(readlink -f "$0") || exit 2
case $(uname -m) in
x86_64) package=@forkpool/linux-x64 ;;
aarch64 | arm64) package=@forkpool/linux-arm64 ;;
*) package=@forkpool/linux-$(uname -m) ;;
esac
# Beside the package or above it, as Node looks for modules.
folder=$file
while [ -n "$folder" ]; do
  folder=${folder%/*}
  binary=$folder/node_modules/$package/bin/forkpool
  [ -x "$binary" ] && exec "$binary" "$@"
done
echo "forkpool: the package $package is not installed, which holds the program
hint: install it without --omit=optional. It is for Linux on x64 and arm64; elsewhere forkpool is built with cargo" >&2
exit 2
