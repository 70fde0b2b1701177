/* The mechanism of fault points: what a text arms, what fires when, that off costs no call, and that a wrong text arms nothing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "vr_fault.h"

#define CHECK(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #c), exit(1)))

static int status_of(const char *text, int hits) {
  pid_t pid = fork();
  if (!pid) {
    if (vr_fault_arm(text, "log")) _exit(99);
    for (int i = 0; i < hits; i++) VR_FAULT(put_begin);
    _exit(0);
  }
  int status;
  CHECK(waitpid(pid, &status, WUNTRACED) == pid);
  if (WIFSTOPPED(status)) {
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
  }
  return status;
}

static size_t lines_of_log(const char *containing) {
  char text[8192] = "";
  int fd = open("log", O_RDONLY);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  size_t count = 0;
  for (char *at = text; (at = strstr(at, containing)); at++) count++;
  return count;
}

static void actions(void) {
  int s = status_of("put_begin:kill", 1);
  CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL);
  CHECK(lines_of_log("fault point put_begin: kill at hit 1, pid ") == 1);
  s = status_of("put_begin:stop", 1);
  CHECK(WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP);
  s = status_of("put_begin:exit", 1);
  CHECK(WIFEXITED(s) && WEXITSTATUS(s) == 70);
  s = status_of("put_begin:kill:3", 2);
  CHECK(WIFEXITED(s) && WEXITSTATUS(s) == 0);
  s = status_of("put_begin:kill:3", 3);
  CHECK(WIFSIGNALED(s));
  s = status_of("rename_before:kill", 3);
  CHECK(WIFEXITED(s) && WEXITSTATUS(s) == 0);
  unlink("log");
}

static void errnos(void) {
  CHECK(vr_fault_arm("rename_before:errno=28:2", "log") == 0);
  CHECK(VR_FAULT(rename_before) == 0 && VR_FAULT(rename_before) == -ENOSPC && VR_FAULT(rename_before) == 0);
  CHECK(vr_fault_hits(VR_POINT_rename_before) == 3 && vr_fault_fired(VR_POINT_rename_before) == 1);
  CHECK(vr_fault_arm("rename_before:errno=5:2+", "log") == 0);
  CHECK(VR_FAULT(rename_before) == 0 && VR_FAULT(rename_before) == -EIO && VR_FAULT(rename_before) == -EIO);
  CHECK(vr_fault_fired(VR_POINT_rename_before) == 2);
  unlink("log");
}

static void delays_and_log(void) {
  struct timespec a, b;
  CHECK(vr_fault_arm("put_begin:delay=30", "log") == 0);
  clock_gettime(CLOCK_MONOTONIC, &a);
  VR_FAULT(put_begin);
  clock_gettime(CLOCK_MONOTONIC, &b);
  CHECK((b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec >= 30000000);
  unlink("log");
  CHECK(vr_fault_arm("*:log", "log") == 0);
  for (int i = 0; i < 3; i++) VR_FAULT(put_begin), VR_FAULT(rename_after);
  CHECK(lines_of_log("put_begin: log at hit 1") == 1 && lines_of_log("rename_after: log") == 1 && lines_of_log("fault point") == 2);
  unlink("log");
  CHECK(vr_fault_arm("put_begin:delay=1, rename_before:errno=28\n", "log") == 0 && VR_FAULT(rename_before) == -ENOSPC);
  unlink("log");
}

static void wrong_texts_arm_nothing(void) {
  static const char *const wrong[] = {"nonsense", "put_begin", "put_begin:", "put_begin:die", "nowhere:kill", "put_begin:kill:0", "put_begin:kill:x",
                                      "put_begin:kill:1++", "put_begin:kill:1:1", "put_begin:kill=1", "put_begin:delay", "put_begin:delay=", "put_begin:delay=1x",
                                      "put_begin:errno=28", "rename_before:errno", "rename_before:errno=0", "rename_before:errno=4096", "*:kill", "*:errno=5",
                                      ":kill", "put_begin:kill:9999999999", "rename_befor:errno=5", "put_begin:kill,oops", "rename_before:errno=-5"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    int e = vr_fault_arm(wrong[i], NULL);
    if (e != -EINVAL || vr_fault_on) fprintf(stderr, "\"%s\" was taken\n", wrong[i]);
    CHECK(e == -EINVAL && !vr_fault_on);
  }
  CHECK(vr_fault_arm("rename_before:errno=5", NULL) == 0 && vr_fault_on);
  CHECK(vr_fault_arm("", NULL) == 0 && !vr_fault_on && VR_FAULT(rename_before) == 0 && vr_fault_hits(VR_POINT_rename_before) == 0);
  CHECK(vr_fault_arm(NULL, NULL) == 0 && !vr_fault_on);
}

static void the_table_is_sound(void) {
  for (int p = 0; p < VR_POINTS; p++) {
    const char *name = vr_fault_name((enum vr_fault_point)p);
    CHECK(name[0] && vr_fault_component((enum vr_fault_point)p)[0] && vr_fault_meaning((enum vr_fault_point)p)[0]);
    CHECK(vr_fault_find(name, strlen(name)) == p); /* no name twice */
    CHECK(strlen(name) < 40);
  }
  CHECK(VR_POINTS >= 25 && vr_fault_find("put_begin", 8) < 0 && vr_fault_find("", 0) < 0);
}

int main(void) {
  the_table_is_sound();
  wrong_texts_arm_nothing();
  actions();
  errnos();
  delays_and_log();
  printf("%d points\n", VR_POINTS);
  return 0;
}
