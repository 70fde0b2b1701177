/* open, fopen and their relatives with every combination of flags on every kind of target. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *volatile null;
static void say(const char *what, const char *path, int flags, int fd) {
  struct stat st, named;
  if (fd < 0) {
    printf("%s %s %#x: %s\n", what, path, flags, strerror(errno));
    return;
  }
  int kept = flags & O_PATH ? -1 : (int)write(fd, "written", 7);
  fstat(fd, &st);
  printf("%s %s %#x: size %ld mode %o nlink %lu write %d cloexec %d append %d\n", what, path, flags, (long)st.st_size,
         st.st_mode, (unsigned long)st.st_nlink, kept, fcntl(fd, F_GETFD), !!(fcntl(fd, F_GETFL) & O_APPEND));
  int r = close(fd);
  printf("  close %d, then by name: ", r);
  if (stat(path, &named)) printf("%s\n", strerror(errno));
  else printf("size %ld mode %o\n", (long)named.st_size, named.st_mode);
}
static void reset(void) {
  const char *text = "the old contents\n";
  unlink("file"), unlink("ro"), unlink("new"), unlink("link"), unlink("dangling"), unlink("target"), unlink("hard"), unlink("hard2"), unlink("loop");
  FILE *f = fopen("file", "w");
  fputs(text, f), fclose(f);
  f = fopen("ro", "w");
  fputs(text, f), fclose(f), chmod("ro", 0444);
  f = fopen("hard", "w");
  fputs(text, f), fclose(f);
  if (link("hard", "hard2") || symlink("file", "link") || symlink("target", "dangling") || symlink("loop", "loop")) perror("reset");
}

static void every_flag(void) {
  static const char *const paths[] = {"file", "ro", "new", "link", "dangling", "hard", "loop", "dir", "dir/", "file/", "no/x", "file/x", "", ".", "dir/../new", "/dev/null"};
  static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDWR | O_TRUNC, O_WRONLY | O_CREAT, O_WRONLY | O_CREAT | O_TRUNC,
                              O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, O_WRONLY | O_CREAT | O_EXCL, O_WRONLY | O_APPEND, O_WRONLY | O_CREAT | O_APPEND,
                              O_RDONLY | O_CREAT, O_RDONLY | O_TRUNC, O_WRONLY | O_NOFOLLOW, O_WRONLY | O_CREAT | O_NOFOLLOW, O_RDONLY | O_DIRECTORY,
                              O_WRONLY | O_DIRECTORY, O_PATH, O_PATH | O_NOFOLLOW, O_WRONLY | O_CREAT | O_SYNC, O_RDONLY | O_NOFOLLOW};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    for (size_t j = 0; j < sizeof paths / sizeof *paths; j++) {
      reset();
      say("open", paths[j], flags[i], open(paths[j], flags[i], 0664));
    }
  reset();
  say("creat", "new", 0, creat("new", 0600));
  say("openat", "file", O_WRONLY, openat(AT_FDCWD, "file", O_WRONLY));
  int dir = open("dir", O_RDONLY | O_DIRECTORY);
  say("openat", "inside", O_CREAT | O_WRONLY, openat(dir, "inside", O_CREAT | O_WRONLY, 0640));
  say("openat", "../file", O_TRUNC | O_WRONLY, openat(dir, "../file", O_TRUNC | O_WRONLY));
  say("openat", "x", O_CREAT | O_WRONLY, openat(777, "x", O_CREAT | O_WRONLY, 0640));
  close(dir);
  say("openat", "x", O_CREAT | O_WRONLY, openat(dir, "x", O_CREAT | O_WRONLY, 0640));
  say("syscall", "file", O_TRUNC | O_WRONLY, (int)syscall(SYS_openat, AT_FDCWD, "file", O_TRUNC | O_WRONLY));
  say("null", "file", O_WRONLY, open(null, O_WRONLY | O_CREAT, 0600));
    unsigned long how[3] = {O_WRONLY | O_CREAT, 0600, 0};
  say("openat2", "how", O_WRONLY, (int)syscall(437, AT_FDCWD, "how", how, sizeof how));
  say("openat2", "how", O_WRONLY, (int)syscall(437, AT_FDCWD, "how", 8, sizeof how));
}

static void streams(void) {
  static const char *const modes[] = {"r", "w", "a", "r+", "w+", "a+", "wx", "we", "wbe", "rb", "w,ccs=UTF-8", "q", "", "wm", "re", "axe", "r+e"};
  static const char *const paths[] = {"file", "new", "ro", "dangling", "dir", "no/x"};
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    for (size_t j = 0; j < sizeof paths / sizeof *paths; j++) {
      char line[100] = "";
      reset();
      errno = 0;
      FILE *f = fopen(paths[j], modes[i]);
      printf("fopen %s %s: ", paths[j], modes[i]);
      if (!f) {
        printf("%s\n", strerror(errno));
        continue;
      }
      int flags = fcntl(fileno(f), F_GETFL) & ~O_LARGEFILE, wide = strchr(modes[i], ',') != NULL;
      int put = wide ? 0 : fprintf(f, "line\n"), cloexec = fcntl(fileno(f), F_GETFD);
      int at = fseek(f, 0, SEEK_SET);
      char *got = wide ? NULL : fgets(line, sizeof line, f);
      int closed = fclose(f);
      printf("flags %#x cloexec %d put %d seek %d got %s close %d", flags, cloexec, put, at, got ? got : "nothing\n", closed);
      struct stat st;
      if (stat(paths[j], &st) == 0 && S_ISREG(st.st_mode)) printf(" size %ld mode %o\n", (long)st.st_size, st.st_mode);
      else printf("\n");
    }
  reset();
  FILE *f = fopen("file", "r");
  f = freopen("re", "w", f);
  printf("freopen %d\n", f != NULL);
  printf("put %d\n", fputs("again\n", f));
  f = freopen(NULL, "r", f);
  printf("freopen null %d\n", f != NULL);
  f = freopen("no/such", "w", f);
  printf("freopen missing: %s\n", f ? "?" : strerror(errno));
  f = fdopen(open("fd", O_CREAT | O_WRONLY | O_TRUNC, 0644), "w");
  printf("fdopen put %d", fputs("fd\n", f));
  printf(" flush %d", fflush(f));
  printf(" close %d\n", fclose(f));
  f = fopen("unflushed", "w");
  fputs("left in the buffer\n", f);
  f = fopen("closed-behind", "w");
  fputs("lost\n", f);
  close(fileno(f));
  printf("fclose of a closed descriptor: %d %s\n", fclose(f), strerror(errno));
  f = tmpfile();
  printf("tmpfile %d %d\n", f != NULL, f ? fclose(f) : 0);
}

static void special(void) {
  char proc[50];
  int fd = open(".", O_TMPFILE | O_RDWR, 0600);
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
  printf("tmpfile %d link %d\n", fd >= 0, linkat(AT_FDCWD, proc, AT_FDCWD, "from-tmpfile", AT_SYMLINK_FOLLOW));
  printf("write %zd\n", write(fd, "x", 1));
  printf("close %d\n", close(fd));
  fd = open("file", O_WRONLY);
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
  int again = open(proc, O_WRONLY | O_APPEND);
  printf("again %d write %zd\n", again >= 0, write(again, "more", 4));
  printf("close %d\n", close(fd));
  printf("close %d\n", close(again));
  umask(0);
  close(open("mode0", O_CREAT | O_WRONLY, 0));
  close(open("mode7777", O_CREAT | O_WRONLY | O_TRUNC, 07777));
  umask(0777);
  close(open("mode-none", O_CREAT | O_WRONLY | O_TRUNC, 0666));
  umask(027);
  fd = open("rename-open", O_CREAT | O_WRONLY | O_TRUNC, 0666);
  printf("rename while open %d", rename("rename-open", "renamed-open"));
  printf(" write %zd", write(fd, "late", 4));
  printf(" close %d\n", close(fd));
  fd = open("unlink-open", O_CREAT | O_RDWR | O_TRUNC, 0666);
  printf("unlink while open %d", unlink("unlink-open"));
  printf(" write %zd", write(fd, "late", 4));
  printf(" close %d", close(fd));
  printf(" exists %d\n", access("unlink-open", F_OK));
  fd = open("reader", O_CREAT | O_WRONLY | O_TRUNC, 0666);
  char buf[10] = "";
  write(fd, "visible", 7);
  int reader = open("reader", O_RDONLY);
  printf("read while written %zd", read(reader, buf, 9));
  printf(" %s close %d", buf, close(reader));
  printf(" %d\n", close(fd));
}

int main(void) {
  umask(022);
  setvbuf(stdout, NULL, _IOLBF, 0);
  mkdir("dir", 0755);
  every_flag();
  streams();
  special();
  return 0; /* with a stream that nobody closed */
}
