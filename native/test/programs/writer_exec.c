/* Every way of running a program: arguments, environment that the caller chose, descriptors, working directory, results. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *env[] = {"ONE=1", "PATH=/usr/bin:/bin", NULL};
static char *argv[] = {"sh", "-c", "echo \"$0 $1 $ONE\"; exit 6", "zero", "first", NULL};
/* By a function: the child of a vfork shares the stack. */
#define RUN(how, call)                                                     \
  do {                                                                     \
    int status_ = -1;                                                      \
    fflush(stdout);                                                        \
    pid_t pid_ = how();                                                    \
    if (pid_ == 0) {                                                       \
      call;                                                                \
      _exit(errno == ENOENT ? 101 : errno == EACCES ? 102 : errno == ENOEXEC ? 103 : 104); \
    }                                                                      \
    waitpid(pid_, &status_, 0);                                            \
    printf("%s: %d\n", #how " " #call, WIFEXITED(status_) ? WEXITSTATUS(status_) : -1); \
  } while (0)

static void spawns(void) {
  pid_t pid;
  int status = -1;
  posix_spawn_file_actions_t a;
  printf("posix_spawn %d", posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, env));
  waitpid(pid, &status, 0), printf(" -> %d\n", WEXITSTATUS(status));
  printf("posix_spawnp %d", posix_spawnp(&pid, "sh", NULL, NULL, argv, env));
  waitpid(pid, &status, 0), printf(" -> %d\n", WEXITSTATUS(status));
  printf("missing: %d\n", posix_spawn(&pid, "/no/such", NULL, NULL, argv, env));
  printf("missing: %d\n", posix_spawnp(&pid, "no-such-program", NULL, NULL, argv, env));
  int fd = open("by-dup", O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
  posix_spawn_file_actions_init(&a);
  posix_spawn_file_actions_adddup2(&a, fd, 1);
  posix_spawn_file_actions_addopen(&a, 2, "by-open", O_CREAT | O_WRONLY | O_TRUNC, 0640);
  argv[2] = "echo out; echo err >&2; exit 6";
  printf("actions %d", posix_spawn(&pid, "/bin/sh", &a, NULL, argv, env));
  waitpid(pid, &status, 0), printf(" -> %d\n", WEXITSTATUS(status));
  write(fd, "mine\n", 5), close(fd);
  posix_spawn_file_actions_destroy(&a);
  printf("null pid %d\n", posix_spawn(NULL, "/bin/true", NULL, NULL, argv, env));
  wait(&status);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  RUN(fork, execve("/bin/sh", argv, env));
  RUN(fork, execv("/bin/sh", argv));
  RUN(fork, execvp("sh", argv));
  RUN(fork, execvpe("sh", argv, env));
  RUN(fork, execl("/bin/sh", "sh", "-c", "exit 21", NULL));
  RUN(fork, execlp("sh", "sh", "-c", "exit 22", NULL));
  RUN(fork, execle("/bin/sh", "sh", "-c", "echo $ONE; exit 23", NULL, env));
  RUN(fork, fexecve(open("/bin/sh", O_RDONLY | O_CLOEXEC), argv, env));
  RUN(fork, execveat(AT_FDCWD, "/bin/sh", argv, env, 0));
  RUN(fork, execveat(open("/bin/sh", O_PATH), "", argv, env, AT_EMPTY_PATH));
  RUN(fork, syscall(SYS_execve, "/bin/sh", argv, env));
  RUN(vfork, execve("/bin/sh", argv, env));
  RUN(vfork, execvp("sh", argv));
  RUN(fork, execve("/no/such", argv, env));
  RUN(fork, execve("/etc/passwd", argv, env));
  RUN(fork, execve("/", argv, env));
  RUN(fork, execvp("", argv));
  RUN(fork, execvp("no-such-program", argv));
  RUN(fork, execve("/bin/sh", argv, NULL));
  FILE *f = fopen("script", "w");
  fputs("#!/bin/sh\necho script $1\nexit 31\n", f), fclose(f);
  RUN(fork, execve("script", argv, env));
  chmod("script", 0755);
  RUN(fork, execve("./script", argv, env));
  f = fopen("plain", "w");
  fputs("echo plain; exit 32\n", f), fclose(f), chmod("plain", 0755);
  RUN(fork, execve("./plain", argv, env));
  RUN(fork, execvp("./plain", argv));
  mkdir("bin", 0755), symlink("/bin/true", "bin/mine"), setenv("PATH", "nowhere:bin:/bin:/usr/bin", 1);
  RUN(fork, execlp("mine", "mine", NULL));
  static char *many[3000];
  static char names[2999][32];
  for (int i = 0; i < 2999; i++) snprintf(names[i], sizeof names[i], "V%d=%d", i, i), many[i] = names[i];
  RUN(fork, execle("/bin/sh", "sh", "-c", "exit $((V2998 - 2900))", NULL, many));
  spawns();
  printf("system %d %d\n", system("echo system; exit 9") >> 8, system(NULL) != 0);
  f = popen("cat > by-popen", "w");
  printf("popen %d", fputs("to the shell\n", f));
  printf(" %d\n", pclose(f));
  f = popen("echo from the shell; exit 2", "r");
  char line[50] = "";
  printf("popen %s", fgets(line, sizeof line, f));
  printf("pclose %d\n", pclose(f) >> 8);
  clearenv();
  printf("cleared %d\n", system("exit 8") >> 8);
  return 0;
}
