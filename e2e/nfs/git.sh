# A repository in DIR/git: three rounds of commits, collected, checked, cloned.
#   git.sh DIR
set -e
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_TEMPLATE_DIR= GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat HOME=/tmp
# What clone runs.
[ -e /sbin/git-upload-pack ] || ln -s git /sbin/git-upload-pack
mkdir "$1/git"
cd "$1/git"
git init -q .
for round in 1 2 3; do
  for file in 1 2 3 4 5; do seq $round $((round * file * 50)) > file-$file; done
  git add .
  git commit -q -m "round $round"
done
git gc -q
git fsck --full --strict --no-progress
test -z "$(git status --porcelain)"
test "$(git log --oneline | wc -l)" = 3
git clone -q --no-hardlinks "$1/git" "$1/clone"
cd "$1/clone"
git fsck --full --no-progress
