// One file under everything that changes it, compared with a copy in memory after each step: writes, appends, mapped
// writes, truncation both ways, fsync, closing and opening again, reads past the cache. Deterministic by its seed.
//   exercise FILE SEED SECONDS     prints "exercised N steps" at its end, or what differs and exits with 1
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST (1 << 20)
static unsigned char copy[MOST], found[MOST + 4096] __attribute__((aligned(4096)));
static size_t size;
static uint64_t state;
static long step;
static const char *name;
static int fd;

static uint32_t any(uint32_t below) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)(state >> 16) % below;
}
static void differs(const char *what, size_t at) {
  printf("FAIL step %ld: %s at %zu, errno %d\n", step, what, at, errno);
  exit(1);
}
static void fill(unsigned char *to, size_t length) {
  unsigned char first = any(256);
  for (size_t i = 0; i < length; i++) to[i] = first + i * 7;
}
static void grow(size_t to) {
  if (to > size) memset(copy + size, 0, to - size), size = to;
}
static void compare(int flags) {
  int reader = open(name, O_RDONLY | flags);
  if (reader < 0) reader = open(name, O_RDONLY);
  struct stat s;
  if (fstat(reader, &s) != 0 || (size_t)s.st_size != size) differs("size", s.st_size);
  size_t at = 0;
  for (ssize_t got; at < size; at += got) {
    got = pread(reader, found + at, (MOST - at + 4095) & ~(size_t)4095, at);
    if (got <= 0) differs("read", at);
    // What comes behind a short read of the end is aligned again only at the end.
    if (at + got < size && got % 512 != 0) differs("short read", at);
  }
  for (size_t i = 0; i < size; i++) if (found[i] != copy[i]) differs("byte", i);
  close(reader);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  name = argv[1];
  state = strtoull(argv[2], 0, 10) * 2654435761u + 88172645463325252ull;
  time_t end = time(0) + atoi(argv[3]);
  fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0644);
  if (fd < 0) differs("open", 0);
  for (step = 1; time(0) < end; step++) {
    size_t at = any(any(2) ? MOST / 2 : 60000), length = 1 + any(any(3) ? 9000 : 150000);
    switch (any(10)) {
      case 0: case 1: case 2: case 3:
        grow(at + length);
        fill(copy + at, length);
        if (pwrite(fd, copy + at, length, at) != (ssize_t)length) differs("write", at);
        break;
      case 4: {
        size_t end = size;
        if (end + length > MOST) break;
        grow(end + length);
        fill(copy + end, length);
        int appender = open(name, O_WRONLY | O_APPEND);
        if (write(appender, copy + end, length) != (ssize_t)length || close(appender) != 0) differs("append", end);
        break;
      }
      case 5: {
        if (at >= size) break;
        if (at + length > size) length = size - at;
        size_t page = at & ~(size_t)4095;
        unsigned char *map = mmap(0, at + length - page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page);
        if (map == MAP_FAILED) differs("mmap", at);
        fill(copy + at, length);
        memcpy(map + at - page, copy + at, length);
        if (any(2) && msync(map, at + length - page, MS_SYNC) != 0) differs("msync", at);
        if (munmap(map, at + length - page) != 0) differs("munmap", at);
        break;
      }
      case 6:
        at %= 200000;
        if (ftruncate(fd, at) != 0) differs("truncate", at);
        if (at > size) grow(at);
        size = at;
        break;
      case 7:
        if (fsync(fd) != 0) differs("fsync", 0);
        break;
      case 8:
        if (close(fd) != 0) differs("close", 0);
        fd = open(name, O_RDWR);
        if (fd < 0) differs("open again", 0);
        break;
      case 9:
        if (any(3) == 0) {
          if (fsync(fd) != 0) differs("fsync", 0);
          compare(O_DIRECT);
        } else compare(0);
        break;
    }
  }
  if (fsync(fd) != 0 || close(fd) != 0) differs("the last fsync", 0);
  compare(O_DIRECT);
  printf("exercised %ld steps\n", step);
  return 0;
}
