/* The connection of a command to its project's daemon. It never holds the command up: 50 ms before the start, nothing while it runs. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "launcher.h"
#include "vr_fault.h"

enum { REQUEST_SESSION = 1, REQUEST_SYNC = 2, REQUEST_END = 3 };

void session_init(struct session *s) {
  memset(s, 0, sizeof *s);
  s->fd = s->glance.fd = -1;
}

static void drop(struct session *s, int64_t retry_in) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
  s->state = SESSION_NONE;
  s->in.have = s->in.skip = 0;
  s->next_try = now_ms() + retry_in;
}

/* Connects and sends SESSION (and SYNC). 0, or -errno. */
static int ask(struct session *s, const struct places *p, const char *command, int sync) {
  static char payload[3 * TEXT_MAX + 128]; /* stacks may be small (`ulimit -s`) */
  char number[32], shortened[1024];
  payload[0] = 0;
  int fd = wire_connect(p->project_run, "vdir_d.sock", &s->daemon);
  if (fd < 0) return fd;
  snprintf(number, sizeof number, "%d", (int)getpid());
  snprintf(shortened, sizeof shortened, "%s", command);
  wire_put(payload, sizeof payload, "pid", number);
  wire_put(payload, sizeof payload, "command", shortened);
  int r = wire_send(fd, VR_OP_SESSION, REQUEST_SESSION, payload);
  if (r == 0 && sync) r = wire_send(fd, VR_OP_SYNC, REQUEST_SYNC, "");
  if (r < 0) {
    close(fd);
    return r;
  }
  VR_FAULT(session_asked);
  s->fd = fd;
  s->state = SESSION_ASKED;
  s->since = now_ms();
  return 0;
}

/* Looks at one answer. -1: the daemon refuses. */
static int took(struct session *s, const struct places *p, const struct frame *f) {
  if (f->opcode != VR_OP_OK) return f->request == REQUEST_SESSION ? -1 : 0;
  if (f->request == REQUEST_SESSION) {
    char board[32];
    s->state = SESSION_UP;
    s->ups++;
    if (!s->ever && wire_field(f, "board", board, sizeof board) > 0) glance_open(&s->glance, board);
    s->ever = 1;
  } else if (f->request == REQUEST_SYNC && wire_field(f, "drain", s->drain, sizeof s->drain) < 0) {
    s->drain[0] = 0;
  }
  if (s->hung && f->request == REQUEST_SYNC) { /* a drain was made: the whole daemon is alive */
    breaker_close(p);
    s->hung = 0;
  }
  return 0;
}

void session_first(struct session *s, const struct places *p, const char *command) {
  int64_t deadline = now_ms() + ANSWER_MS;
  struct frame f;
  s->next_open = now_ms();
  int r = ask(s, p, command, 1);
  if (r < 0) {
    if (r == -EPERM) say("the daemon of this project belongs to another user; running natively");
    s->next_try = now_ms() + RETRY_MS;
    return;
  }
  s->hung = breaker_open(p, s->daemon);
  if (s->hung) deadline = 0; /* what is there is taken, nothing is waited for */
  while (s->state != SESSION_UP || !s->drain[0]) {
    r = is_stopped(s->daemon) ? 0 : wire_wait(s->fd, &s->in, &f, deadline);
    if (r == 0 && !s->hung) {
      breaker_trip(p, s->daemon);
      s->hung = 1;
    }
    if (r == 1) {
      if (took(s, p, &f) < 0) r = -1;
      if (f.request == REQUEST_SYNC) break;
    }
    if (r < 0) drop(s, RETRY_MS);
    if (r <= 0) break;
  }
  s->next_open = now_ms() + REOPEN_MS;
}

void session_step(struct session *s, const struct places *p, const char *command) {
  struct frame f;
  int r;
  if (s->fd >= 0) {
    while ((r = wire_take(s->fd, &s->in, &f)) == 1) {
      if (took(s, p, &f) < 0) {
        r = -1;
        break;
      }
    }
    if (r < 0) drop(s, RETRY_MS);
    else if (s->state == SESSION_ASKED && now_ms() - s->since > SESSION_ANSWER_MS) {
      drop(s, RETRY_MS);
      if (!is_stop_in_force(p)) open_in_background(p, s->daemon);
    }
    return;
  }
  if (now_ms() < s->next_try) return;
  s->next_try = now_ms() + RETRY_MS;
  if (ask(s, p, command, s->hung) == 0) return;
  struct stat st;
  if (s->ever && lstat(p->project_run, &st) < 0 && errno == ENOENT) return; /* `vrift init --undo`: it stays undone */
  if (now_ms() >= s->next_open && !is_stop_in_force(p)) {
    open_in_background(p, 0);
    s->next_open = now_ms() + REOPEN_MS;
  }
}

int session_timeout(const struct session *s) {
  if (s->state == SESSION_UP) return -1;
  if (s->state == SESSION_ASKED) return SESSION_ANSWER_MS;
  int64_t left = s->next_try - now_ms();
  return left < 0 ? 0 : (int)left;
}

/* The number behind "key": in a JSON object of our own, or -1. */
static int64_t json_number(const char *json, const char *key) {
  char pattern[64];
  snprintf(pattern, sizeof pattern, "\"%s\":", key);
  const char *p = strstr(json, pattern);
  return p ? strtoll(p + strlen(pattern), NULL, 10) : -1;
}

/* Prints the strings of the array behind "key":, one a line. Control characters are shown as ?. */
static void json_strings(const char *json, const char *key, const char *headline) {
  char pattern[64];
  snprintf(pattern, sizeof pattern, "\"%s\":[", key);
  const char *p = strstr(json, pattern);
  if (!p) return;
  p += strlen(pattern);
  int first = 1;
  while (*p == '"' || *p == ',' || *p == ' ') {
    if (*p != '"') {
      p++;
      continue;
    }
    if (first) say("%s", headline);
    first = 0;
    fputs("vrift:   ", stderr);
    for (p++; *p && *p != '"'; p++) {
      if (*p == '\\' && p[1] == 'u' && strlen(p) > 5) {
        fputc('?', stderr);
        p += 5;
      } else {
        if (*p == '\\' && p[1]) p++;
        fputc((unsigned char)*p < 0x20 ? '?' : *p, stderr);
      }
    }
    fputc('\n', stderr);
    if (*p == '"') p++;
  }
}

void session_end(struct session *s, const struct places *p, int verify, struct outcome *out) {
  static char json[sizeof s->in.bytes + 1];
  out->loads = out->verify_diffs = -1;
  if (s->fd < 0) return;
  int64_t deadline = now_ms() + (verify ? END_VERIFY_MS : END_MS), loads;
  struct frame f;
  int quiet = !verify && s->ups == 1 && glance_quiet(&s->glance, &loads) && loads > 0;
  glance_close(&s->glance);
  if (quiet) {
    out->loads = loads;
    drop(s, 0);
    return;
  }
  if (s->state == SESSION_ASKED) session_step(s, p, ""); /* an answer that came meanwhile ends the note */
  if (s->state == SESSION_UP && !is_stopped(s->daemon) && wire_send(s->fd, VR_OP_SESSION_END, REQUEST_END, "") == 0) {
    int r;
    while ((r = wire_wait(s->fd, &s->in, &f, deadline)) == 1 && f.request != REQUEST_END) {
    }
    if (r == 0) breaker_trip(p, s->daemon);
    if (r == 1 && f.opcode == VR_OP_OK) {
      memcpy(json, f.payload, f.length);
      json[f.length] = 0;
      json_strings(json, "rolled_back", "a program died while it wrote these files; they were rolled back (see `vrift salvage list`):");
      out->loads = s->ups == 1 ? json_number(json, "loads") : -1; /* a daemon that came in between has not counted all */
      out->verify_diffs = json_number(json, "verify_diffs");
    }
  }
  drop(s, 0);
}
