# A database in DIR/db: rounds of transactions that grow, rewrite and delete, then a check of the whole file.
#   sqlite.sh DIR
set -e
sqlite3 "$1/db" 'create table t(i integer primary key, b blob);'
for round in 1 2 3 4 5 6; do
  sqlite3 "$1/db" "insert into t(b) select randomblob(2000) from t union all select randomblob(9000);
    insert into t(b) values (randomblob(100)), (randomblob(5000));
    update t set b = randomblob(3000) where i % 3 = 0;
    delete from t where i % 7 = 0;"
done
test "$(sqlite3 "$1/db" 'pragma integrity_check; select count(*) > 20 from t;' | tr '\n' ' ')" = 'ok 1 '
