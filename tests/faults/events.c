// A library for LD_PRELOAD: counts what a program does to files below a folder, and makes one of these events fatal
// or failing. All processes of a program share one block of control, a file that FAULTS_CONTROL names.
//
// Events: opening for writing, write, flush, truncate, rename, link, remove, new folder. tests/faults/events.py arms it.
// Looks are no events. They hang, too, once an event hangs, and from the first one on if `at` is 0.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { COUNT, KILL, HALF, FAIL, FULL, NO_NAMES, READ_ONLY, HANG };  // what happens at event `at`
enum { NOTHING, SPACE, NAME };                    // what an event needs of a disk
enum { ANYBODY, LEADER, OTHERS };                 // whose events count

struct control {
  int32_t armed, action, who, error, leader, fired;
  int64_t at;
  atomic_llong count;
  char folder[1024], log[1024];
};
static struct control *control;

__attribute__((constructor)) static void map_control(void) {
  const char *path = getenv("FAULTS_CONTROL");
  int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (found != MAP_FAILED) control = found;
  syscall(SYS_close, file);
}

static int is_ours(void) {
  switch (control->who) {
    case LEADER: return getpid() == control->leader;
    case OTHERS: return getpid() != control->leader;
    default: return 1;
  }
}

static int is_below(const char *path) {
  size_t length = strlen(control->folder);
  return path && !strncmp(path, control->folder, length) && (path[length] == '/' || !path[length]);
}

static const char *absolute(int folder, const char *path, char *into) {
  if (!path) return NULL;
  if (path[0] == '/') return path;
  if (folder == AT_FDCWD) {
    if (!getcwd(into, PATH_MAX)) return NULL;
  } else {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t size = readlink(link, into, PATH_MAX - 1);
    if (size < 0) return NULL;
    into[size] = 0;
  }
  strncat(into, "/", PATH_MAX - 1 - strlen(into));
  strncat(into, path, PATH_MAX - 1 - strlen(into));
  return into;
}

static const char *path_of(int file, char *into) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t size = readlink(link, into, PATH_MAX - 1);
  if (size < 0) return NULL;
  into[size] = 0;
  return into;
}

static void note(long long number, const char *what, const char *path, const char *other) {
  struct stat found;
  char line[2 * PATH_MAX + 128];
  if (!control->log[0]) return;
  long long size = stat(path, &found) ? -1 : (long long)found.st_size;
  int length = snprintf(line, sizeof line, "%lld\t%s\t%lld\t%s\t%s\n", number, what, size, path, other ? other : "");
  int file = (int)syscall(SYS_openat, AT_FDCWD, control->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return;
  if (syscall(SYS_write, file, line, length) < 0) {}
  syscall(SYS_close, file);
}

// From event `at` on, what needs at least this fails.
static const int least[] = {[FULL] = SPACE, [NO_NAMES] = NAME, [READ_ONLY] = NOTHING};

// A disk that does not answer: for `error` seconds since this process met it first, or for ever.
static void hang(void) {
  static _Atomic time_t began;
  struct timespec now, pause = {0, 20000000};
  for (;;) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!began) began = now.tv_sec;
    if (!control->armed || (control->error && now.tv_sec - began >= control->error)) return;
    nanosleep(&pause, NULL);
  }
}

// Looking and reading hang, too, once the disk does.
static void hang_if_hung(const char *path) {
  if (!control || !control->armed || control->action != HANG || !is_below(path)) return;
  if (control->at == 0) control->fired = 1;
  if (control->fired) { int before = errno; hang(); errno = before; }
}

// 0: go on; 1: fail; 2: do half of the write, then die.
static int happens(const char *what, const char *path, const char *other, int needs) {
  if (!control || !control->armed || !is_below(path) || !is_ours()) return 0;
  int before = errno;
  long long number = atomic_fetch_add(&control->count, 1) + 1;
  note(number, what, path, other);
  errno = before;
  int is_it = number == control->at;
  if (is_it) control->fired = 1;
  switch (control->action) {
    case KILL: if (is_it) kill(getpid(), SIGKILL); break;
    case HALF: return is_it ? 2 : 0;
    case FAIL: if (is_it) { errno = control->error; return 1; } break;
    case FULL: case NO_NAMES: case READ_ONLY:
      if (number < control->at || needs < least[control->action]) break;
      control->fired = 1;
      errno = control->error;
      return 1;
    case HANG: if (number >= control->at) { control->fired = 1; hang(); errno = before; } break;
  }
  return 0;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)
#define STOP_IF(event, value) do { int found = (event); if (found == 2) kill(getpid(), SIGKILL); if (found) return value; } while (0)

static int writes(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0; }
static int needs_of(int folder, const char *path) { int before = errno, is_there = !faccessat(folder, path, F_OK, 0); errno = before; return is_there ? SPACE : NAME; }
static const char *kind(int flags) { return flags & O_TRUNC ? "open-empty" : "open"; }
#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list all; va_start(all, flags); mode = va_arg(all, mode_t); va_end(all); }
#define OPEN(name) int name(const char *path, int flags, ...) { REAL(int, name, const char *, int, ...); MODE \
  char whole[PATH_MAX]; if (writes(flags)) STOP_IF(happens(kind(flags), absolute(AT_FDCWD, path, whole), NULL, needs_of(AT_FDCWD, path)), -1); \
  else hang_if_hung(absolute(AT_FDCWD, path, whole)); return real(path, flags, mode); }
#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { REAL(int, name, int, const char *, int, ...); MODE \
  char whole[PATH_MAX]; if (writes(flags)) STOP_IF(happens(kind(flags), absolute(folder, path, whole), NULL, needs_of(folder, path)), -1); \
  else hang_if_hung(absolute(folder, path, whole)); return real(folder, path, flags, mode); }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) FILE *name(const char *path, const char *how) { REAL(FILE *, name, const char *, const char *); \
  char whole[PATH_MAX]; if (strpbrk(how, "wa+")) STOP_IF(happens(how[0] == 'w' ? "open-empty" : "open", absolute(AT_FDCWD, path, whole), NULL, needs_of(AT_FDCWD, path)), NULL); \
  return real(path, how); }
FOPEN(fopen)
FOPEN(fopen64)

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
  REAL(size_t, fwrite, const void *, size_t, size_t, FILE *);
  char whole[PATH_MAX];
  int found = control && control->armed ? happens("write", path_of(fileno(file), whole), NULL, SPACE) : 0;
  if (found == 2) { real(data, 1, size * count / 2, file); fflush(file); kill(getpid(), SIGKILL); }
  return found ? 0 : real(data, size, count, file);
}
ssize_t write(int file, const void *data, size_t size) {
  REAL(ssize_t, write, int, const void *, size_t);
  char whole[PATH_MAX];
  int found = control && control->armed ? happens("write", path_of(file, whole), NULL, SPACE) : 0;
  if (found == 2) { if (real(file, data, size / 2) < 0) {} kill(getpid(), SIGKILL); }
  return found ? -1 : real(file, data, size);
}
#define PWRITE(name, offset_type) ssize_t name(int file, const void *data, size_t size, offset_type at) { \
  REAL(ssize_t, name, int, const void *, size_t, offset_type); char whole[PATH_MAX]; \
  int found = control && control->armed ? happens("write", path_of(file, whole), NULL, SPACE) : 0; \
  if (found == 2) { if (real(file, data, size / 2, at) < 0) {} kill(getpid(), SIGKILL); } \
  return found ? -1 : real(file, data, size, at); }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
ssize_t writev(int file, const struct iovec *parts, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  char whole[PATH_MAX];
  int found = control && control->armed ? happens("write", path_of(file, whole), NULL, SPACE) : 0;
  if (found == 2) { if (real(file, parts, count / 2) < 0) {} kill(getpid(), SIGKILL); }
  return found ? -1 : real(file, parts, count);
}
#define SENDFILE(name, offset_type) ssize_t name(int into, int from, offset_type *at, size_t size) { \
  REAL(ssize_t, name, int, int, offset_type *, size_t); char whole[PATH_MAX]; \
  int found = control && control->armed ? happens("write", path_of(into, whole), NULL, SPACE) : 0; \
  if (found == 2) { if (real(into, from, at, size / 2) < 0) {} kill(getpid(), SIGKILL); } \
  return found ? -1 : real(into, from, at, size); }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)
ssize_t copy_file_range(int from, off64_t *at, int into, off64_t *to, size_t size, unsigned flags) {
  REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
  char whole[PATH_MAX];
  int found = control && control->armed ? happens("write", path_of(into, whole), NULL, SPACE) : 0;
  if (found == 2) { if (real(from, at, into, to, size / 2, flags) < 0) {} kill(getpid(), SIGKILL); }
  return found ? -1 : real(from, at, into, to, size, flags);
}

#define BY_FILE(name, what, space) int name(int file) { REAL(int, name, int); char whole[PATH_MAX]; \
  if (control && control->armed) STOP_IF(happens(what, path_of(file, whole), NULL, space), -1); return real(file); }
BY_FILE(fsync, "flush", SPACE)
BY_FILE(fdatasync, "flush", SPACE)
BY_FILE(syncfs, "flush-all", SPACE)
#define TRUNCATE(name, offset_type) int name(int file, offset_type size) { REAL(int, name, int, offset_type); char whole[PATH_MAX]; \
  if (control && control->armed) STOP_IF(happens("write", path_of(file, whole), NULL, SPACE), -1); return real(file, size); }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define LOOK(name, type) int name(const char *path, struct type *into) { REAL(int, name, const char *, struct type *); \
  char whole[PATH_MAX]; if (control && control->armed) hang_if_hung(absolute(AT_FDCWD, path, whole)); return real(path, into); }
LOOK(stat, stat)
LOOK(stat64, stat64)
LOOK(lstat, stat)
LOOK(lstat64, stat64)
LOOK(statvfs, statvfs)
LOOK(statvfs64, statvfs64)
#define LOOKAT(name, type) int name(int folder, const char *path, struct type *into, int flags) { \
  REAL(int, name, int, const char *, struct type *, int); char whole[PATH_MAX]; \
  if (control && control->armed) hang_if_hung(absolute(folder, path, whole)); return real(folder, path, into, flags); }
LOOKAT(fstatat, stat)
LOOKAT(fstatat64, stat64)
DIR *opendir(const char *path) {
  REAL(DIR *, opendir, const char *);
  char whole[PATH_MAX];
  if (control && control->armed) hang_if_hung(absolute(AT_FDCWD, path, whole));
  return real(path);
}

int rename(const char *path, const char *other) {
  REAL(int, rename, const char *, const char *);
  char one[PATH_MAX], two[PATH_MAX];
  STOP_IF(happens("rename", absolute(AT_FDCWD, path, one), absolute(AT_FDCWD, other, two), SPACE), -1);
  return real(path, other);
}
int renameat(int folder, const char *path, int into, const char *other) {
  REAL(int, renameat, int, const char *, int, const char *);
  char one[PATH_MAX], two[PATH_MAX];
  STOP_IF(happens("rename", absolute(folder, path, one), absolute(into, other, two), SPACE), -1);
  return real(folder, path, into, other);
}
int link(const char *path, const char *other) {
  REAL(int, link, const char *, const char *);
  char one[PATH_MAX];
  STOP_IF(happens("create", absolute(AT_FDCWD, other, one), NULL, NAME), -1);
  return real(path, other);
}
int linkat(int folder, const char *path, int into, const char *other, int flags) {
  REAL(int, linkat, int, const char *, int, const char *, int);
  char one[PATH_MAX];
  STOP_IF(happens("create", absolute(into, other, one), NULL, NAME), -1);
  return real(folder, path, into, other, flags);
}
int symlink(const char *path, const char *other) {
  REAL(int, symlink, const char *, const char *);
  char one[PATH_MAX];
  STOP_IF(happens("create", absolute(AT_FDCWD, other, one), NULL, NAME), -1);
  return real(path, other);
}
int unlink(const char *path) {
  REAL(int, unlink, const char *);
  char one[PATH_MAX];
  STOP_IF(happens("remove", absolute(AT_FDCWD, path, one), NULL, NOTHING), -1);
  return real(path);
}
int unlinkat(int folder, const char *path, int flags) {
  REAL(int, unlinkat, int, const char *, int);
  char one[PATH_MAX];
  STOP_IF(happens("remove", absolute(folder, path, one), NULL, NOTHING), -1);
  return real(folder, path, flags);
}
int rmdir(const char *path) {
  REAL(int, rmdir, const char *);
  char one[PATH_MAX];
  STOP_IF(happens("remove", absolute(AT_FDCWD, path, one), NULL, NOTHING), -1);
  return real(path);
}
int mkdir(const char *path, mode_t mode) {
  REAL(int, mkdir, const char *, mode_t);
  char one[PATH_MAX];
  STOP_IF(happens("folder", absolute(AT_FDCWD, path, one), NULL, NAME), -1);
  return real(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
  REAL(int, mkdirat, int, const char *, mode_t);
  char one[PATH_MAX];
  STOP_IF(happens("folder", absolute(folder, path, one), NULL, NAME), -1);
  return real(folder, path, mode);
}
