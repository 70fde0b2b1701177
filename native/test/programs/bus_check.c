/* An unmodified program and SIGBUS: what it installs, asks, gets and dies of must be the same with and without the library, and a VDir or board that is
 * cut off while it asks must not reach it.  bus_check self | bus_check loop DIR MILLISECONDS */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static sigjmp_buf back;
static char *page;
static volatile int seen, address_right, blocked_inside;
static void with_info(int sig, siginfo_t *info, void *context) {
  sigset_t now;
  (void)context;
  seen = sig, address_right = info->si_addr == page;
  sigprocmask(SIG_SETMASK, NULL, &now);
  blocked_inside = sigismember(&now, SIGUSR1) * 2 + sigismember(&now, SIGBUS);
  siglongjmp(back, 1);
}
static void plain(int sig) { seen = sig; siglongjmp(back, 1); }
static void sent(int sig) { seen = sig; }

static void fault(void) {
  seen = 0;
  if (!sigsetjmp(back, 1)) *(volatile char *)page = 1;
}
static const char *name(void *f) { return f == (void *)SIG_DFL ? "default" : f == (void *)SIG_IGN ? "ignore" : f == (void *)plain ? "plain" : f == (void *)sent ? "sent" : f == (void *)with_info ? "with_info" : "another"; }
static void asked(const char *when) {
  struct sigaction a;
  sigaction(SIGBUS, NULL, &a);
  printf("%s: %s, flags %x\n", when, name((void *)a.sa_handler), (unsigned)a.sa_flags & ~0x04000000u);
}
static int ends(int how) {
  fflush(stdout);
  pid_t pid = fork();
  int status;
  if (pid == 0) {
    if (how == 0) *(volatile char *)page = 1;
    if (how == 1) raise(SIGBUS);
    if (how == 2) kill(getpid(), SIGBUS);
    if (how == 3) signal(SIGBUS, SIG_IGN), raise(SIGBUS), _exit(9);
    _exit(0);
  }
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int self(void) {
  struct stat st;
  stat(".", &st), stat("no-such-file", &st);
  for (int i = 0; i < 40; i++) stat(".", &st); /* the library has mapped what it maps */
  char tmp[] = "/tmp/bus-check-XXXXXX";
  int fd = mkstemp(tmp);
  unlink(tmp);
  page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); /* nothing behind it */
  asked("at first");
  printf("ends of a fault, raise, kill, ignored: %d %d %d %d\n", ends(0), ends(1), ends(2), ends(3));
  struct sigaction a = {.sa_sigaction = with_info, .sa_flags = SA_SIGINFO}, old;
  sigaddset(&a.sa_mask, SIGUSR1);
  sigaction(SIGBUS, &a, &old);
  printf("before: %s\n", name((void *)old.sa_handler));
  fault();
  printf("seen %d, address %d, masked %d\n", seen, address_right, blocked_inside);
  asked("with_info");
  printf("signal returns %s\n", name((void *)signal(SIGBUS, plain)));
  fault();
  printf("seen %d\n", seen);
  asked("plain");
  signal(SIGBUS, sent);
  seen = 0, raise(SIGBUS);
  printf("sent: seen %d\n", seen);
  struct sigaction once = {.sa_handler = sent, .sa_flags = (int)SA_RESETHAND};
  sigaction(SIGBUS, &once, NULL);
  seen = 0, raise(SIGBUS);
  printf("once: seen %d\n", seen);
  asked("afterwards");
  signal(SIGBUS, SIG_IGN);
  asked("ignored");
  seen = 0, raise(SIGBUS);
  printf("ends of a fault with it ignored: %d\n", ends(0));
  return 0;
}

static int loop(const char *dir, long ms) {
  struct timespec t, end;
  struct stat st, at_first[64];
  unsigned long asked_n = 0, wrong = 0;
  char path[4200], absent[4200];
  int n = 0;
  for (; n < 64; n++) {
    snprintf(path, sizeof path, "%s/f%d", dir, n);
    if (stat(path, &at_first[n])) break;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += ms / 1000, end.tv_nsec += ms % 1000 * 1000000;
  do {
    for (int i = 0; i < n; i++, asked_n++) {
      snprintf(path, sizeof path, "%s/f%d", dir, i), snprintf(absent, sizeof absent, "%s/none%d", dir, i);
      if (stat(path, &st) || st.st_ino != at_first[i].st_ino || st.st_size != at_first[i].st_size) wrong++;
      if (!stat(absent, &st)) wrong++;
      if (i == 0) { /* the board, too */
        snprintf(absent, sizeof absent, "%s/scratch-%d", dir, (int)getpid());
        int fd = open(absent, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) || stat(absent, &st) || st.st_size != 1 || unlink(absent) || !stat(absent, &st)) wrong++;
      }
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
  } while (t.tv_sec < end.tv_sec || (t.tv_sec == end.tv_sec && t.tv_nsec < end.tv_nsec));
  printf("asked %lu wrong %lu\n", asked_n, wrong);
  return wrong != 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "loop")) return loop(argv[2], atol(argv[3]));
  return self();
}
