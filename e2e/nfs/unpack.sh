# Unpacks TAR into DIR/1, DIR/2, ... until there is /tmp/stop, and says so of each.
#   unpack.sh TAR DIR
i=0
while [ ! -e /tmp/stop ]; do
  i=$((i + 1))
  mkdir -p "$2/$i" || { echo "failed $2/$i: mkdir"; break; }
  /sbin/tar -x -p -f "$1" -C "$2/$i" || { echo "failed $2/$i: tar"; break; }
  echo "unpacked $2/$i"
done
echo "over $2"
