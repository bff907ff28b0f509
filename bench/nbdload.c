/*
 * The load of the benchmark: NBD on one connection with so many requests always in flight. In C and on the bare
 * protocol, so that it costs the machine little beside what it measures, and FUA is really sent.
 *
 *     nbdload HOST PORT EXPORT write|fua|seq|read SIZE DEPTH SECONDS REGION_MIB
 *
 * write, fua, read: at random places of the region. seq: one place behind the other, a FLUSH for every 32 MiB. Requests
 * that replies made room for leave in one write. One line of JSON at the end; any error reply ends it with status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ = 0, WRITE = 1, DISCONNECT = 2, FLUSH = 3, FLAG_FUA = 1 };
enum { HEAD = 28, REPLY = 16, FLUSH_EVERY = 32 << 20 };

static int wire;

static void give_up(const char *why) {
  fprintf(stderr, "nbdload: %s\n", why);
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

static void put(const uint8_t *from, size_t bytes) {
  while (bytes > 0) {
    ssize_t sent = send(wire, from, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) give_up("the connection was lost");
    from += sent;
    bytes -= (size_t)sent;
  }
}

static void get(uint8_t *into, size_t bytes) {
  while (bytes > 0) {
    ssize_t got = recv(wire, into, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) give_up("the connection was lost");
    into += got;
    bytes -= (size_t)got;
  }
}

static void put16(uint8_t *at, uint16_t v) { v = htobe16(v); memcpy(at, &v, 2); }
static void put32(uint8_t *at, uint32_t v) { v = htobe32(v); memcpy(at, &v, 4); }
static void put64(uint8_t *at, uint64_t v) { v = htobe64(v); memcpy(at, &v, 8); }
static uint32_t get32(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return be32toh(v); }
static uint64_t get64(const uint8_t *at) { uint64_t v; memcpy(&v, at, 8); return be64toh(v); }

/* GO for the export; returns its size in bytes. */
static uint64_t open_export(const char *name) {
  uint8_t hello[18], go[512], head[20], body[4096];
  uint64_t size = 0;
  size_t length = strlen(name);
  if (length > 255) give_up("the export's name is too long");
  get(hello, sizeof hello);
  if (memcmp(hello, "NBDMAGICIHAVEOPT", 16) != 0) give_up("this is no newstyle NBD server");
  put32(go, 1);
  memcpy(go + 4, "IHAVEOPT", 8);
  put32(go + 12, 7);
  put32(go + 16, (uint32_t)length + 6);
  put32(go + 20, (uint32_t)length);
  memcpy(go + 24, name, length);
  put16(go + 24 + length, 0);
  put(go, 26 + length);
  for (;;) {
    get(head, sizeof head);
    uint32_t type = get32(head + 12), bytes = get32(head + 16);
    if (bytes > sizeof body) give_up("an option reply is too long");
    get(body, bytes);
    if (type == 1) return size;
    if (type & 0x80000000u) give_up("the server refuses the export");
    if (type == 3 && bytes >= 12 && body[0] == 0 && body[1] == 0) size = get64(body + 2);
  }
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

int main(int argc, char **argv) {
  if (argc != 9) give_up("HOST PORT EXPORT write|fua|seq|read SIZE DEPTH SECONDS REGION_MIB");
  const char *mode = argv[4];
  size_t size = (size_t)atol(argv[5]);
  uint32_t depth = (uint32_t)atoi(argv[6]);
  double seconds = atof(argv[7]);
  int reading = strcmp(mode, "read") == 0, ordered = strcmp(mode, "seq") == 0, fua = strcmp(mode, "fua") == 0;
  if (!reading && !ordered && !fua && strcmp(mode, "write") != 0) give_up("no such mode");

  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
  int one = 1;
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) give_up("no such address");
  wire = socket(AF_INET, SOCK_STREAM, 0);
  if (wire < 0 || connect(wire, (struct sockaddr *)&to, sizeof to) != 0) give_up("nothing listens there");
  setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  uint64_t places = open_export(argv[3]), region = (uint64_t)atol(argv[8]) << 20;
  if (region > 0 && region < places) places = region;
  places /= size;
  if (places == 0) give_up("the export is smaller than one request");

  size_t request = HEAD + (reading ? 0 : size), answer = REPLY + (reading ? size : 0);
  size_t room = answer * depth + 65536, have = 0;
  uint8_t *out = malloc(request * depth), *in = malloc(room);
  uint64_t *born = calloc(depth, sizeof *born);
  uint32_t *resting = calloc(depth, sizeof *resting), rested = 0, flying = 0;
  if (out == NULL || in == NULL || born == NULL || resting == NULL) give_up("no memory");
  chance_state = now() ^ ((uint64_t)getpid() << 32);
  for (size_t i = 0; i + 8 <= request * depth; i += 8) { uint64_t v = chance(); memcpy(out + i, &v, 8); }
  for (uint32_t i = 0; i < depth; i++) resting[rested++] = i;

  uint64_t begun = now(), t = begun, end = begun + (uint64_t)(seconds * 1e9), next = 0, unflushed = 0;
  int flushing = 0;
  for (;;) {
    size_t filled = 0;
    int over = t >= end;
    /* A flush waits for what was asked before it, as a file system's does. */
    if (ordered && !flushing && flying == 0 && unflushed > 0 && (over || unflushed >= FLUSH_EVERY)) {
      uint8_t flush[HEAD] = {0};
      put32(flush, 0x25609513);
      put16(flush + 6, FLUSH);
      put64(flush + 8, UINT64_MAX);
      put(flush, HEAD);
      flushing = 1;
    }
    while (!over && !flushing && rested > 0 && !(ordered && unflushed >= FLUSH_EVERY)) {
      uint32_t slot = resting[--rested];
      uint8_t *at = out + request * filled++;
      uint64_t place = ordered ? next++ % places : chance() % places;
      put32(at, 0x25609513);
      put16(at + 4, fua ? FLAG_FUA : 0);
      put16(at + 6, reading ? READ : WRITE);
      put64(at + 8, slot);
      put64(at + 16, place * size);
      put32(at + 24, (uint32_t)size);
      born[slot] = t;
      flying++;
      unflushed += size;
    }
    if (filled > 0) put(out, request * filled);
    if (flying == 0 && !flushing) break;

    ssize_t got = recv(wire, in + have, room - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) give_up("the connection was lost");
    have += (size_t)got;
    t = now();
    size_t at = 0;
    while (have - at >= REPLY) {
      if (get32(in + at) != 0x67446698) give_up("that is no reply");
      if (get32(in + at + 4) != 0) give_up("the server answered with an error");
      uint64_t cookie = get64(in + at + 8);
      if (cookie == UINT64_MAX) {
        flushing = 0;
        unflushed = 0;
        at += REPLY;
        continue;
      }
      if (have - at < answer) break;
      at += answer;
      if (cookie >= depth) give_up("the server answered what was not asked");
      count(t - born[cookie]);
      resting[rested++] = (uint32_t)cookie;
      flying--;
    }
    memmove(in, in + at, have - at);
    have -= at;
  }
  double took = (double)(now() - begun) / 1e9;
  printf("{\"opsPerSecond\":%.0f,\"mbPerSecond\":%.2f,\"p50Us\":%.1f,\"p99Us\":%.1f,\"p999Us\":%.1f}\n", (double)counted / took,
         (double)counted * (double)size / took / 1e6, micros_at(0.5), micros_at(0.99), micros_at(0.999));
  uint8_t bye[HEAD] = {0};
  put32(bye, 0x25609513);
  put16(bye + 6, DISCONNECT);
  put(bye, HEAD);
  return 0;
}
