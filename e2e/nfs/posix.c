// What a POSIX program may expect of a directory, tried in DIR: on an NFS mount, and on any local file system, where all
// of it has to hold as well. Run as root. Each part prints "ok NAME" or "FAIL NAME: what"; the exit code is the number of
// failures. Built without libraries of the machine it runs on: gcc -static.
//   posix DIR
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *part;
static int failures, failed;
static char why[512];

static void fail(int line, const char *text, ...) {
  if (failed) return;
  failed = 1;
  int at = snprintf(why, sizeof why, "line %d: ", line);
  va_list words;
  va_start(words, text);
  vsnprintf(why + at, sizeof why - at, text, words);
  va_end(words);
}

// The condition holds, or the part has failed.
#define MUST(condition) ((condition) ? (void)0 : fail(__LINE__, "%s (errno %d)", #condition, errno))
// The call fails with this errno.
#define FAILS(call, error) do { errno = 0; long r = (long)(call); \
  if (r != -1 || errno != (error)) fail(__LINE__, "%s: %ld, errno %d, not %d", #call, r, errno, error); } while (0)

static void begin(const char *name) { part = name; failed = 0; errno = 0; }
static void end(void) {
  if (failed) { failures++; printf("FAIL %s: %s\n", part, why); } else printf("ok %s\n", part);
  fflush(stdout);
}

static int file(const char *name, int flags, mode_t mode) {
  int fd = open(name, flags, mode);
  if (fd < 0) fail(__LINE__, "open %s: errno %d", name, errno);
  return fd;
}
static void put(const char *name, const char *text) {
  int fd = file(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
  MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  MUST(close(fd) == 0);
}
static int holds(const char *name, const char *text) {
  char found[256] = "";
  int fd = open(name, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t length = read(fd, found, sizeof found);
  close(fd);
  return length == (ssize_t)strlen(text) && memcmp(found, text, length) == 0;
}
static struct stat of(const char *name) {
  struct stat s = {0};
  if (lstat(name, &s) != 0) fail(__LINE__, "lstat %s: errno %d", name, errno);
  return s;
}
// Runs `body` as another user; it reports by its exit code, the line that failed.
static int as(uid_t uid, gid_t gid, int groups, const gid_t *list, int (*body)(void)) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    if (setgroups(groups, list) || setgid(gid) || setuid(uid)) _exit(255);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 254;
}
static unsigned char aligned[8192] __attribute__((aligned(4096)));
// What the server itself has, past the client's cache (a local file system may not know how).
static ssize_t direct(const char *name, off_t at, size_t length) {
  int fd = open(name, O_RDONLY | O_DIRECT);
  if (fd < 0) fd = open(name, O_RDONLY);
  ssize_t got = pread(fd, aligned, length, at);
  close(fd);
  return got;
}

static void creation(void) {
  begin("exclusive creation");
  umask(0);
  int fd = file("x", O_CREAT | O_EXCL | O_RDWR, 0640);
  struct stat s = of("x");
  MUST(S_ISREG(s.st_mode) && (s.st_mode & 07777) == 0640 && s.st_size == 0 && s.st_nlink == 1);
  FAILS(open("x", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
  MUST(close(fd) == 0);
  MUST(s.st_mtime > 1000000000 && s.st_atime > 1000000000);
  // One of many who create at once has it.
  int winners = 0;
  for (int i = 0; i < 8; i++) if (fork() == 0) _exit(open("race", O_CREAT | O_EXCL | O_WRONLY, 0600) >= 0 ? 1 : 0);
  for (int i = 0, status; i < 8; i++) { wait(&status); winners += WEXITSTATUS(status); }
  MUST(winners == 1);
  end();
  begin("a file that its owner may not write is written through the descriptor that made it");
  fd = file("readonly", O_CREAT | O_EXCL | O_RDWR, 0444);
  MUST(write(fd, "text", 4) == 4 && fsync(fd) == 0 && close(fd) == 0);
  MUST((of("readonly").st_mode & 07777) == 0444 && holds("readonly", "text"));
  end();
  umask(022);
}

static void writing(void) {
  begin("append");
  int one = file("log", O_CREAT | O_APPEND | O_WRONLY, 0644), two = file("log", O_APPEND | O_WRONLY, 0);
  for (int i = 0; i < 20; i++) MUST(write(i % 2 ? one : two, "0123456789", 10) == 10);
  MUST(close(one) == 0 && close(two) == 0 && of("log").st_size == 200);
  end();

  begin("sparse: data behind 5 GiB of nothing");
  off_t far = (off_t)5 << 30;
  int fd = file("sparse", O_CREAT | O_RDWR, 0644);
  MUST(pwrite(fd, "end", 3, far) == 3 && pwrite(fd, "start", 5, 0) == 5 && fsync(fd) == 0);
  MUST(of("sparse").st_size == far + 3);
  memset(aligned, 1, sizeof aligned);
  MUST(direct("sparse", (off_t)1 << 30, 4096) == 4096);
  for (int i = 0; i < 4096; i++) MUST(aligned[i] == 0);
  MUST(pread(fd, aligned, 10, far) == 3 && memcmp(aligned, "end", 3) == 0);
  MUST(of("sparse").st_blocks < 4096 && close(fd) == 0);
  MUST(truncate("sparse", 5) == 0 && holds("sparse", "start") && unlink("sparse") == 0);
  end();

  begin("truncate");
  char pattern[20000];
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = 'a' + i % 26;
  fd = file("t", O_CREAT | O_RDWR, 0644);
  MUST(write(fd, pattern, sizeof pattern) == sizeof pattern && fsync(fd) == 0);
  MUST(ftruncate(fd, 5001) == 0 && of("t").st_size == 5001);
  MUST(ftruncate(fd, 12000) == 0 && of("t").st_size == 12000);
  MUST(direct("t", 4096, 4096) == 4096 && memcmp(aligned, pattern + 4096, 5001 - 4096) == 0);
  for (int i = 5001 - 4096; i < 4096; i++) MUST(aligned[i] == 0);
  MUST(pwrite(fd, "z", 1, 11999) == 1 && fsync(fd) == 0 && direct("t", 8192, 4096) == 12000 - 8192);
  MUST(aligned[11999 - 8192] == 'z' && aligned[11998 - 8192] == 0);
  MUST(ftruncate(fd, 0) == 0 && of("t").st_size == 0 && pread(fd, aligned, 10, 0) == 0);
  FAILS(ftruncate(fd, -1), EINVAL);
  MUST(close(fd) == 0);
  fd = file("t", O_RDWR | O_TRUNC, 0);
  MUST(close(fd) == 0);
  end();

  begin("mmap");
  fd = file("m", O_CREAT | O_RDWR, 0644);
  MUST(ftruncate(fd, 100000) == 0);
  char *map = mmap(0, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  MUST(map != MAP_FAILED);
  for (int i = 0; i < 100000; i += 777) map[i] = 'm';
  MUST(msync(map, 100000, MS_SYNC) == 0);
  MUST(direct("m", 4096 * 5, 4096) == 4096);
  for (int i = 0; i < 4096; i++) MUST(aligned[i] == ((4096 * 5 + i) % 777 == 0 ? 'm' : 0));
  MUST(pwrite(fd, "by write", 8, 50000) == 8 && memcmp(map + 50000, "by write", 8) == 0);
  MUST(munmap(map, 100000) == 0 && close(fd) == 0 && of("m").st_size == 100000);
  end();

  begin("times follow what is written");
  put("c", "first");
  struct timespec past[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
  MUST(utimensat(AT_FDCWD, "c", past, 0) == 0);
  struct stat s = of("c");
  MUST(s.st_atim.tv_sec == 1000000000 && s.st_atim.tv_nsec == 123456789);
  MUST(s.st_mtim.tv_sec == 1100000000 && s.st_mtim.tv_nsec == 987654321);
  put("c", "second");
  MUST(of("c").st_mtime > 1200000000);
  struct timespec only[2] = {{0, UTIME_OMIT}, {1234567890, 5}};
  MUST(utimensat(AT_FDCWD, "c", only, 0) == 0 && of("c").st_mtime == 1234567890 && of("c").st_mtim.tv_nsec == 5);
  MUST(utimensat(AT_FDCWD, "c", 0, 0) == 0 && of("c").st_mtime > 1300000000);
  end();
}

static void naming(void) {
  begin("rename");
  put("from", "new"), put("to", "old");
  ino_t ino = of("from").st_ino;
  int fd = file("to", O_RDONLY, 0);
  MUST(rename("from", "to") == 0 && of("to").st_ino == ino && holds("to", "new"));
  char old[4] = "";
  MUST(pread(fd, old, 3, 0) == 3 && strcmp(old, "old") == 0 && close(fd) == 0);
  FAILS(rename("from", "to"), ENOENT);
  MUST(mkdir("d1", 0755) == 0 && mkdir("d2", 0755) == 0 && mkdir("d1/in", 0755) == 0);
  MUST(rename("d1", "d2") == 0 && of("d2/in").st_nlink >= 1);
  MUST(mkdir("d3", 0755) == 0);
  MUST(rename("d3", "d2") == -1 && (errno == ENOTEMPTY || errno == EEXIST));
  FAILS(rename("d2", "d2/in/deeper"), EINVAL);
  FAILS(rename("to", "d3"), EISDIR);
  FAILS(rename("d3", "to"), ENOTDIR);
  MUST(rename("to", "d3/moved") == 0 && of("d3/moved").st_ino == ino && rename("d3/moved", "to") == 0);
  MUST(link("to", "same") == 0 && rename("to", "same") == 0 && of("to").st_ino == of("same").st_ino);
  MUST(unlink("same") == 0 && rmdir("d3") == 0 && rmdir("d2/in") == 0 && rmdir("d2") == 0);
  end();

  begin("hard links");
  put("h1", "linked");
  MUST(link("h1", "h2") == 0 && of("h1").st_nlink == 2 && of("h1").st_ino == of("h2").st_ino);
  fd = file("h1", O_WRONLY, 0);
  MUST(pwrite(fd, "L", 1, 0) == 1 && close(fd) == 0 && holds("h2", "Linked"));
  FAILS(link("h1", "h2"), EEXIST);
  FAILS(link("nothing", "h3"), ENOENT);
  MUST(unlink("h1") == 0 && of("h2").st_nlink == 1 && holds("h2", "Linked"));
  MUST(mkdir("hd", 0755) == 0);
  FAILS(link("hd", "h3"), EPERM);
  MUST(rmdir("hd") == 0);
  end();

  begin("symbolic links");
  char text[1100], longest[1024];
  MUST(symlink("h2", "s1") == 0 && holds("s1", "Linked") && S_ISLNK(of("s1").st_mode) && of("s1").st_size == 2);
  MUST(readlink("s1", text, sizeof text) == 2 && memcmp(text, "h2", 2) == 0);
  MUST(symlink("nowhere/at/all", "s2") == 0);
  FAILS(open("s2", O_RDONLY), ENOENT);
  MUST(symlink("loop", "loop") == 0);
  FAILS(open("loop", O_RDONLY), ELOOP);
  memset(longest, 'x', sizeof longest);
  longest[1000] = 0;
  MUST(symlink(longest, "s3") == 0 && readlink("s3", text, sizeof text) == 1000 && memcmp(text, longest, 1000) == 0);
  MUST(symlink("/etc/passwd", "out") == 0 && readlink("out", text, sizeof text) == 11);
  FAILS(open("s1", O_RDONLY | O_NOFOLLOW), ELOOP);
  MUST(unlink("s1") == 0 && holds("h2", "Linked"));
  end();

  begin("names: 255 bytes, any bytes but two");
  char name[300];
  memset(name, 'n', sizeof name);
  name[255] = 0;
  MUST(mkdir(name, 0755) == 0 && rmdir(name) == 0);
  name[255] = 'n', name[256] = 0;
  FAILS(mkdir(name, 0755), ENAMETOOLONG);
  const char *odd[] = {"\xff\xfe\x80", "new\nline", " ", "...", "\xc3\x28", "back\\slash", "-rf", "*"};
  for (int i = 0; i < 8; i++) {
    put(odd[i], odd[i]);
    MUST(holds(odd[i], odd[i]));
  }
  int seen = 0;
  DIR *all = opendir(".");
  for (struct dirent *e; (e = readdir(all));) for (int i = 0; i < 8; i++) seen += strcmp(e->d_name, odd[i]) == 0;
  closedir(all);
  MUST(seen == 8);
  for (int i = 0; i < 8; i++) MUST(unlink(odd[i]) == 0);
  FAILS(unlink("..."), ENOENT);
  end();

  begin("deep paths");
  int top = open(".", O_RDONLY), depth = 0;
  for (; depth < 40; depth++) MUST(mkdir("a-directory-below-a-directory", 0755) == 0 && chdir("a-directory-below-a-directory") == 0);
  put("bottom", "deep");
  char *where = getcwd(0, 0);
  MUST(where != 0 && strlen(where) > 40 * 29 && holds("bottom", "deep") && unlink("bottom") == 0);
  free(where);
  for (; depth > 0; depth--) MUST(chdir("..") == 0 && rmdir("a-directory-below-a-directory") == 0);
  struct stat here = of("."), there = {0};
  MUST(fstat(top, &there) == 0 && here.st_ino == there.st_ino && close(top) == 0);
  end();

  begin("special files");
  MUST(mkfifo("fifo", 0600) == 0 && S_ISFIFO(of("fifo").st_mode));
  MUST(mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0 && S_ISCHR(of("null").st_mode));
  MUST(of("null").st_rdev == makedev(1, 3));
  MUST(mknod("disk", S_IFBLK | 0600, makedev(259, 70000)) == 0 && of("disk").st_rdev == makedev(259, 70000));
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  MUST(bind(s, (struct sockaddr *)&address, sizeof address) == 0 && S_ISSOCK(of("socket").st_mode) && close(s) == 0);
  // A pipe works among processes of this client.
  if (fork() == 0) { int w = open("fifo", O_WRONLY); _exit(write(w, "p", 1) == 1 ? 0 : 1); }
  int r = open("fifo", O_RDONLY);
  char byte = 0;
  MUST(read(r, &byte, 1) == 1 && byte == 'p' && close(r) == 0);
  wait(0);
  end();

  begin("removal");
  MUST(mkdir("rd", 0755) == 0 && mkdir("rd/in", 0755) == 0);
  MUST(rmdir("rd") == -1 && (errno == ENOTEMPTY || errno == EEXIST));
  put("rf", "f");
  FAILS(rmdir("rf"), ENOTDIR);
  MUST(unlink("rd/in") == -1 && (errno == EISDIR || errno == EPERM));
  FAILS(rmdir("rd/."), EINVAL);
  FAILS(unlink("rf/x"), ENOTDIR);
  MUST(rmdir("rd/in") == 0 && of("rd").st_nlink == 2 && rmdir("rd") == 0 && unlink("rf") == 0);
  FAILS(unlink("rf"), ENOENT);
  end();

  begin("a removed file that is open lives on");
  fd = file("gone", O_CREAT | O_RDWR, 0644);
  MUST(write(fd, "still", 5) == 5 && unlink("gone") == 0);
  FAILS(open("gone", O_RDONLY), ENOENT);
  char five[6] = "";
  MUST(pwrite(fd, " here", 5, 5) == 5 && fsync(fd) == 0 && pread(fd, five, 5, 0) == 5 && strcmp(five, "still") == 0);
  MUST(ftruncate(fd, 3) == 0);
  struct stat g;
  MUST(fstat(fd, &g) == 0 && g.st_size == 3 && close(fd) == 0);
  end();
}

static int stranger(void) {
  if (open("secret", O_RDONLY) != -1 || errno != EACCES) return __LINE__;
  if (access("secret", R_OK) != -1 || errno != EACCES) return __LINE__;
  if (open("closed/in", O_RDONLY) != -1 || errno != EACCES) return __LINE__;
  if (open("notmine", O_CREAT | O_WRONLY, 0644) != -1 || errno != EACCES) return __LINE__;
  if (chmod("public", 0777) != -1 || errno != EPERM) return __LINE__;
  if (chown("public", 1000, 1000) != -1 || errno != EPERM) return __LINE__;
  if (unlink("sticky/other") != -1 || (errno != EPERM && errno != EACCES)) return __LINE__;
  if (rename("sticky/other", "sticky/mine") != -1 || (errno != EPERM && errno != EACCES)) return __LINE__;
  if (truncate("public", 0) != -1 || errno != EACCES) return __LINE__;
  if (utimensat(AT_FDCWD, "public", 0, 0) != -1 || errno != EACCES) return __LINE__;
  struct timespec past[2] = {{1, 0}, {1, 0}};
  if (utimensat(AT_FDCWD, "public", past, 0) != -1 || errno != EPERM) return __LINE__;
  if (access("public", R_OK) != 0 || access("public", W_OK) != -1) return __LINE__;
  int fd = open("sticky/own", O_CREAT | O_EXCL | O_RDWR, 0600);
  struct stat s;
  if (fd < 0 || fstat(fd, &s) || s.st_uid != 1000 || s.st_gid != 1000) return __LINE__;
  if (write(fd, "x", 1) != 1 || close(fd) || chmod("sticky/own", 0400) || unlink("sticky/own")) return __LINE__;
  if (mkdir("setgid/sub", 0755) || stat("setgid/sub", &s)) return __LINE__;
  if (s.st_gid != 4000 || !(s.st_mode & S_ISGID) || s.st_uid != 1000) return __LINE__;
  fd = open("setgid/file", O_CREAT | O_EXCL | O_WRONLY, 0644);
  if (fd < 0 || fstat(fd, &s) || s.st_gid != 4000 || close(fd)) return __LINE__;
  // Giving a file to a group that one is not in clears set-group-id.
  if (chmod("setgid/file", 02755) || stat("setgid/file", &s) || (s.st_mode & S_ISGID)) return __LINE__;
  if (chown("setgid/file", -1, 4001) != -1 || errno != EPERM) return __LINE__;
  return 0;
}
static int member(void) {
  if (open("group", O_RDONLY) < 0 || access("group", R_OK)) return __LINE__;
  if (open("group", O_WRONLY) != -1 || errno != EACCES) return __LINE__;
  int fd = open("mine", O_CREAT | O_EXCL | O_RDWR, 0600);
  if (fd < 0 || close(fd) || chown("mine", -1, 3000)) return __LINE__;
  struct stat s;
  if (stat("mine", &s) || s.st_gid != 3000 || chown("mine", 1002, -1) != -1 || errno != EPERM) return __LINE__;
  return unlink("mine") ? __LINE__ : 0;
}
static int suid(void) {
  int fd = open("suid", O_WRONLY);
  return fd >= 0 && write(fd, "!", 1) == 1 && fsync(fd) == 0 && close(fd) == 0 ? 0 : __LINE__;
}

static void permissions(void) {
  begin("modes and owners");
  put("p", "p");
  MUST(chmod("p", 04751) == 0 && (of("p").st_mode & 07777) == 04751);
  struct timespec before = of("p").st_ctim;
  usleep(20000);
  MUST(chmod("p", 0600) == 0 && (of("p").st_mode & 07777) == 0600);
  struct timespec after = of("p").st_ctim;
  MUST(after.tv_sec > before.tv_sec || after.tv_nsec > before.tv_nsec);
  MUST(chown("p", 1000, 3000) == 0 && of("p").st_uid == 1000 && of("p").st_gid == 3000);
  MUST(lchown("p", -1, -1) == 0 && of("p").st_uid == 1000);
  MUST(chown("p", 4294967294u, 70000) == 0 && of("p").st_uid == 4294967294u && of("p").st_gid == 70000);
  end();

  begin("what a stranger may");
  put("secret", "s"), put("public", "p"), put("group", "g");
  MUST(chmod("secret", 0600) == 0 && chmod("public", 0644) == 0);
  MUST(chmod("group", 0640) == 0 && chown("group", 0, 3000) == 0);
  MUST(mkdir("closed", 0700) == 0), put("closed/in", "in");
  MUST(mkdir("sticky", 0700) == 0 && chmod("sticky", 01777) == 0), put("sticky/other", "o");
  MUST(mkdir("setgid", 0700) == 0 && chown("setgid", 0, 4000) == 0 && chmod("setgid", 02777) == 0);
  int line = as(1000, 1000, 0, 0, stranger);
  if (line != 0) fail(line, "in the stranger's process");
  end();

  begin("what a member of a group may");
  gid_t list[16];
  for (int i = 0; i < 16; i++) list[i] = 2000 + i;
  list[15] = 3000;
  MUST(chmod(".", 0777) == 0);
  line = as(1001, 1001, 16, list, member);
  if (line != 0) fail(line, "in the member's process");
  MUST(chmod(".", 0755) == 0);
  end();

  begin("a write by another user takes set-user-id away");
  put("suid", "text");
  MUST(chmod("suid", 06777) == 0 && as(1000, 1000, 0, 0, suid) == 0);
  MUST((of("suid").st_mode & (S_ISUID | S_ISGID)) == 0);
  end();
}

static void listing(void) {
  begin("listing while names come and go");
  MUST(mkdir("many", 0755) == 0);
  char name[64];
  for (int i = 0; i < 200; i++) snprintf(name, sizeof name, "many/stays-%04d", i), MUST(mknod(name, S_IFREG | 0644, 0) == 0);
  unsigned char seen[200] = {0};
  DIR *all = opendir("many");
  int count = 0, dots = 0;
  for (struct dirent *e; (e = readdir(all)); count++) {
    int at = -1;
    if (sscanf(e->d_name, "stays-%d", &at) == 1) seen[at]++;
    dots += strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    snprintf(name, sizeof name, "many/goes-%04d", count);
    if (count < 120) MUST(mknod(name, S_IFREG | 0644, 0) == 0);
    snprintf(name, sizeof name, "many/goes-%04d", count - 10);
    if (count >= 10 && count < 120) MUST(unlink(name) == 0);
  }
  closedir(all);
  for (int i = 0; i < 200; i++) MUST(seen[i] == 1);
  MUST(dots == 2);
  all = opendir("many");
  count = 0;
  for (struct dirent *e; (e = readdir(all));) {
    snprintf(name, sizeof name, "many/%s", e->d_name);
    if (e->d_name[0] != '.') count++, MUST(unlink(name) == 0);
  }
  closedir(all);
  MUST(count >= 200 && rmdir("many") == 0);
  end();

  begin("room");
  struct statvfs v;
  MUST(statvfs(".", &v) == 0 && v.f_blocks > 0 && v.f_bavail <= v.f_blocks && v.f_namemax == 255);
  end();
}

int main(int argc, char **argv) {
  if (argc != 2 || chdir(argv[1])) return fprintf(stderr, "usage: posix DIR\n"), 255;
  umask(022);
  creation();
  writing();
  naming();
  permissions();
  listing();
  printf("%d failures\n", failures);
  return failures > 250 ? 250 : failures;
}
