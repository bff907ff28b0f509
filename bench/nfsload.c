/*
 * The load of the benchmark on files volumes: NFSv3 on one connection with so many requests always in flight, by libnfs's
 * asynchronous raw calls.
 *
 *     nfsload URL MODE SIZE DEPTH SECONDS [FILE_MIB]      URL: nfs://HOST/EXPORT/FILE?nfsport=N&mountport=M
 *
 * sync: WRITE FILE_SYNC at random places. seq: WRITE UNSTABLE one behind the other, a COMMIT for every 32 MiB. read: READ at
 * random places. create: CREATE of new names. lookup, getattr: of 10,000 files. list: READDIRPLUS of their directory, one
 * operation being the whole of it. fill: makes the file, whose size is FILE_MIB. One line of JSON at the end; an error, a
 * short or less stable answer, or a write verifier that changed end it with status 1.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-nfs.h>

enum { FILES = 10000, COMMIT_EVERY = 32 << 20, FILL = 131072, MOST_DEPTH = 256 };
/* PREPARE: what the directory lacks is made, and the handles of its files are learned. */
enum mode { SYNC, SEQ, READING, CREATE, LOOKUP, GETATTR, LIST, PREPARE };

static struct nfs_context *nfs;
static struct rpc_context *rpc;
static nfs_fh3 file, folder;
static struct { char bytes[64]; u_int length; } handles[FILES];
static size_t size;
static int depth, flying, has_verifier;
static enum mode mode;
static uint64_t places, next, end, asked_bytes, most, unsaved, run_id;
static char verifier[NFS3_WRITEVERFSIZE];

struct slot { uint64_t born; char *data; cookie3 cookie; cookieverf3 cookie_verifier; uint64_t entries; char name[64]; uint64_t which; int missing; };
static struct slot slots[MOST_DEPTH];

static void give_up(const char *why) {
  fprintf(stderr, "nfsload: %s (%s)\n", why, nfs == NULL ? "" : nfs_get_error(nfs));
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
static uint64_t chance_state;
static uint64_t chance(void) {
  uint64_t z = (chance_state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* Latencies: 64 steps to each doubling, so a value is told to 1.6 %. */
enum { STEPS = 64, CELLS = STEPS * 48 };
static uint64_t cells[CELLS], counted;

static void count(uint64_t ns) {
  int order = ns < STEPS ? 0 : 63 - __builtin_clzll(ns) - 5;
  size_t cell = order == 0 ? (size_t)ns : (size_t)order * STEPS + (size_t)((ns >> (order - 1)) - STEPS);
  cells[cell < CELLS ? cell : CELLS - 1]++;
  counted++;
}

static double micros_at(double share) {
  uint64_t wanted = (uint64_t)((double)counted * share), seen = 0;
  for (size_t cell = 0; cell < CELLS; cell++) {
    seen += cells[cell];
    if (seen <= wanted) continue;
    size_t order = cell / STEPS;
    return order == 0 ? (double)cell / 1e3 : (double)((cell % STEPS + STEPS) << (order - 1)) / 1e3;
  }
  return 0;
}

static void ask(struct slot *s, int again);
static void done(struct rpc_context *r, int status, void *data, void *private);

static void same_verifier(const char *found) {
  if (has_verifier && memcmp(found, verifier, sizeof verifier) != 0) give_up("the write verifier changed");
  memcpy(verifier, found, sizeof verifier);
  has_verifier = 1;
}

/* Checks one answer; 0 when the operation goes on (a listing that has not come to its end). */
static int check(struct slot *s, void *data) {
  switch (mode) {
    case SYNC: case SEQ: {
      WRITE3res *a = data;
      if (a->status != NFS3_OK || a->WRITE3res_u.resok.count != size) give_up("WRITE");
      if (mode == SYNC && a->WRITE3res_u.resok.committed != FILE_SYNC) give_up("the write is less stable than asked for");
      same_verifier(a->WRITE3res_u.resok.verf);
      return 1;
    }
    case READING: {
      READ3res *a = data;
      if (a->status != NFS3_OK || a->READ3res_u.resok.count != size) give_up("READ");
      return 1;
    }
    case CREATE: {
      CREATE3res *a = data;
      if (a->status == NFS3ERR_JUKEBOX) return 0;
      if (a->status != NFS3_OK) give_up("CREATE");
      return 1;
    }
    case PREPARE: {
      LOOKUP3res *a = data;
      if (a->status == NFS3ERR_JUKEBOX) return 0;
      if (s->missing) {
        if (a->status != NFS3_OK) give_up("CREATE");
        s->missing = 0;
        return 0;
      }
      s->missing = a->status == NFS3ERR_NOENT;
      if (s->missing) return 0;
      if (a->status != NFS3_OK) give_up("LOOKUP");
      nfs_fh3 *known = &a->LOOKUP3res_u.resok.object;
      handles[s->which].length = known->data.data_len;
      memcpy(handles[s->which].bytes, known->data.data_val, known->data.data_len);
      return 1;
    }
    case LOOKUP: {
      LOOKUP3res *a = data;
      if (a->status != NFS3_OK) give_up("LOOKUP");
      return 1;
    }
    case GETATTR: {
      GETATTR3res *a = data;
      if (a->status != NFS3_OK) give_up("GETATTR");
      return 1;
    }
    case LIST: {
      READDIRPLUS3res *a = data;
      if (a->status != NFS3_OK) give_up("READDIRPLUS");
      READDIRPLUS3resok *ok = &a->READDIRPLUS3res_u.resok;
      memcpy(s->cookie_verifier, ok->cookieverf, sizeof s->cookie_verifier);
      for (entryplus3 *e = ok->reply.entries; e != NULL; e = e->nextentry) {
        s->entries++;
        s->cookie = e->cookie;
        if (!e->name_attributes.attributes_follow && strncmp(e->name, "entry-", 6) == 0) give_up("an entry without attributes");
      }
      if (!ok->reply.eof) return 0;
      if (s->entries < FILES) give_up("the listing lacks entries");
      return 1;
    }
  }
  return 1;
}

static void done(struct rpc_context *r, int status, void *data, void *private) {
  (void)r;
  struct slot *s = private;
  if (status != RPC_STATUS_SUCCESS) give_up("no answer");
  flying--;
  int over = check(s, data);
  uint64_t t = now();
  if (over) {
    count(t - s->born);
    s->entries = 0;
    s->cookie = 0;
    memset(s->cookie_verifier, 0, sizeof s->cookie_verifier);
  }
  if (!over) ask(s, 1);
  else if (t < end && asked_bytes < most && !(mode == SEQ && unsaved >= COMMIT_EVERY)) ask(s, 0);
}

static void committed(struct rpc_context *r, int status, void *data, void *private) {
  (void)r, (void)private;
  COMMIT3res *a = data;
  if (status != RPC_STATUS_SUCCESS || a->status != NFS3_OK) give_up("COMMIT");
  same_verifier(a->COMMIT3res_u.resok.verf);
  flying--;
  unsaved = 0;
}

static int create(struct slot *s) {
  CREATE3args a = {.where = {.dir = folder, .name = s->name}, .how = {.mode = UNCHECKED}};
  a.how.createhow3_u.obj_attributes.mode.set_it = 1;
  a.how.createhow3_u.obj_attributes.mode.set_mode3_u.mode = 0644;
  return rpc_nfs3_create_async(rpc, done, &a, s);
}

/* The next operation, or the same one again: a listing's next part, what the server was too busy for. */
static void ask(struct slot *s, int again) {
  uint64_t at = (mode == SEQ ? next++ % places : chance() % places) * size;
  int refused = 0;
  if (!again) s->born = now();
  switch (mode) {
    case SYNC: case SEQ: {
      WRITE3args a = {.file = file, .offset = at, .count = (count3)size, .stable = mode == SEQ ? UNSTABLE : FILE_SYNC};
      a.data.data_len = (u_int)size;
      a.data.data_val = s->data;
      refused = rpc_nfs3_write_async(rpc, done, &a, s);
      unsaved += size;
      break;
    }
    case READING: {
      READ3args a = {.file = file, .offset = at, .count = (count3)size};
      refused = rpc_nfs3_read_async(rpc, done, &a, s);
      break;
    }
    case CREATE: {
      if (!again) snprintf(s->name, sizeof s->name, "new-%llx-%llu", (unsigned long long)run_id, (unsigned long long)next++);
      refused = create(s);
      break;
    }
    case PREPARE: {
      if (!again) s->which = next++;
      snprintf(s->name, sizeof s->name, "entry-%llu", (unsigned long long)s->which);
      LOOKUP3args a = {.what = {.dir = folder, .name = s->name}};
      refused = s->missing ? create(s) : rpc_nfs3_lookup_async(rpc, done, &a, s);
      break;
    }
    case LOOKUP: {
      snprintf(s->name, sizeof s->name, "entry-%u", (unsigned)(chance() % FILES));
      LOOKUP3args a = {.what = {.dir = folder, .name = s->name}};
      refused = rpc_nfs3_lookup_async(rpc, done, &a, s);
      break;
    }
    case GETATTR: {
      unsigned which = (unsigned)(chance() % FILES);
      GETATTR3args a = {.object = {.data = {.data_len = handles[which].length, .data_val = handles[which].bytes}}};
      refused = rpc_nfs3_getattr_async(rpc, done, &a, s);
      break;
    }
    case LIST: {
      READDIRPLUS3args a = {.dir = folder, .cookie = s->cookie, .dircount = 32768, .maxcount = 65536};
      memcpy(a.cookieverf, s->cookie_verifier, sizeof a.cookieverf);
      refused = rpc_nfs3_readdirplus_async(rpc, done, &a, s);
      break;
    }
  }
  if (refused) give_up("the request cannot be sent");
  if (!again) asked_bytes += size;
  flying++;
}

static void drain(void) {
  while (flying > 0) {
    struct pollfd p = {.fd = nfs_get_fd(nfs), .events = (short)nfs_which_events(nfs)};
    if (poll(&p, 1, 30000) <= 0) give_up("no answer for 30 s");
    if (nfs_service(nfs, p.revents) < 0) give_up("the connection was lost");
  }
}

/* For a time, or for so many bytes of `size` each. */
static void run(enum mode what, size_t bytes, int at_once, double seconds, uint64_t in_all) {
  mode = what;
  size = bytes;
  depth = at_once;
  asked_bytes = unsaved = counted = 0;
  memset(cells, 0, sizeof cells);
  most = in_all == 0 ? UINT64_MAX : in_all;
  end = seconds > 0 ? now() + (uint64_t)(seconds * 1e9) : UINT64_MAX;
  do {
    for (int i = 0; i < depth && asked_bytes < most; i++) ask(&slots[i], 0);
    drain();
    if (mode == SEQ) {
      COMMIT3args a = {.file = file};
      if (rpc_nfs3_commit_async(rpc, committed, &a, NULL)) give_up("the request cannot be sent");
      flying++;
      drain();
    }
  } while (now() < end && asked_bytes < most);
}

static void keep(nfs_fh3 *into, struct nfsfh *open_file) {
  struct { int length; char *bytes; } *raw = (void *)nfs_get_fh(open_file); /* struct nfs_fh, not in libnfs 4.0's headers */
  into->data.data_len = (u_int)raw->length;
  into->data.data_val = malloc((size_t)raw->length);
  memcpy(into->data.data_val, raw->bytes, (size_t)raw->length);
}

/* The directory of 10,000 files, made when it is not there, and their handles. */
static void open_folder(void) {
  nfs_mkdir(nfs, "/many");
  struct nfsfh *opened;
  if (nfs_open(nfs, "/many", O_RDONLY, &opened)) give_up("opening the directory");
  keep(&folder, opened);
  next = 0;
  run(PREPARE, 1, 16, 0, FILES);
}

int main(int argc, char **argv) {
  if (argc < 6) give_up("URL sync|seq|read|create|lookup|getattr|list|fill SIZE DEPTH SECONDS [FILE_MIB]");
  static const char *const names[] = {"sync", "seq", "read", "create", "lookup", "getattr", "list"};
  const char *wanted = argv[2];
  int which = -1;
  for (int i = 0; i < 7; i++) if (strcmp(wanted, names[i]) == 0) which = i;
  if (which < 0 && strcmp(wanted, "fill") != 0) give_up("no such mode");
  uint64_t bytes = (uint64_t)(argc > 6 ? atol(argv[6]) : 1024) << 20;
  chance_state = now() ^ ((uint64_t)getpid() << 32);

  nfs = nfs_init_context();
  nfs_set_version(nfs, NFS_V3);
  struct nfs_url *url = nfs_parse_url_full(nfs, argv[1]);
  if (url == NULL || nfs_mount(nfs, url->server, url->path)) give_up("mount");
  rpc = nfs_get_rpc_context(nfs);
  int one = 1;
  setsockopt(nfs_get_fd(nfs), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  size_t request = (size_t)atol(argv[3]), largest = request > FILL ? request : FILL;
  int at_once = atoi(argv[4]);
  if (at_once < 1 || at_once > MOST_DEPTH) give_up("the depth is between 1 and 256");
  for (int i = 0; i < (at_once > 16 ? at_once : 16); i++) {
    slots[i].data = malloc(largest);
    for (size_t k = 0; k + 8 <= largest; k += 8) { uint64_t v = chance(); memcpy(slots[i].data + k, &v, 8); }
  }

  if (which >= CREATE) {
    places = 1;
    open_folder();
    next = 0;
    run_id = chance() | 1;
    request = 1;
  } else {
    struct nfsfh *opened;
    if (nfs_open(nfs, url->file, O_RDWR, &opened) && nfs_creat(nfs, url->file, 0644, &opened)) give_up("open");
    keep(&file, opened);
    struct nfs_stat_64 status;
    if (nfs_fstat64(nfs, opened, &status)) give_up("GETATTR");
    places = bytes / FILL;
    next = 0;
    if (status.nfs_size < bytes) run(SEQ, FILL, 8, 0, bytes);
    if (which < 0) return 0;
    places = bytes / request;
    next = 0;
  }
  uint64_t begun = now();
  run((enum mode)which, request, at_once, atof(argv[5]), 0);
  double took = (double)(now() - begun) / 1e9;
  double moved = which >= CREATE ? 0 : (double)counted * (double)request / took / 1e6;
  printf("{\"opsPerSecond\":%.0f,\"mbPerSecond\":%.2f,\"p50Us\":%.1f,\"p99Us\":%.1f,\"p999Us\":%.1f}\n", (double)counted / took,
         moved, micros_at(0.5), micros_at(0.99), micros_at(0.999));
  return 0;
}
