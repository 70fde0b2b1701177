/* Whether a program can have the library loaded at all, so that `run` can say so instead of leaving people to wonder. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "launcher.h"

#define SCRIPT_DEPTH 4

static int find_in_path(const char *name, char *out, size_t size) {
  struct stat st;
  if (strchr(name, '/')) return snprintf(out, size, "%s", name) < (int)size;
  const char *path = getenv("PATH");
  if (!path) path = "/bin:/usr/bin";
  for (;;) {
    size_t n = strcspn(path, ":");
    int w = n ? snprintf(out, size, "%.*s/%s", (int)n, path, name) : snprintf(out, size, "./%s", name);
    if (w < (int)size && stat(out, &st) == 0 && S_ISREG(st.st_mode) && access(out, X_OK) == 0) return 1;
    path += n;
    if (!*path++) return 0;
  }
}

static int elf_kind(int fd, const Elf64_Ehdr *h) {
  if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_machine != EM_X86_64) return PROGRAM_FOREIGN;
  if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum > 128) return PROGRAM_UNKNOWN;
  for (int i = 0; i < h->e_phnum; i++) {
    Elf64_Phdr ph;
    char interp[128] = "";
    if (pread(fd, &ph, sizeof ph, (off_t)(h->e_phoff + (size_t)i * sizeof ph)) != sizeof ph) return PROGRAM_UNKNOWN;
    if (ph.p_type != PT_INTERP) continue;
    if (pread(fd, interp, sizeof interp - 1, (off_t)ph.p_offset) <= 0) return PROGRAM_UNKNOWN;
    return strstr(interp, "ld-linux") ? PROGRAM_OK : PROGRAM_FOREIGN;
  }
  return PROGRAM_STATIC;
}

int program_kind(const char *command, char *path, size_t size) {
  char head[512];
  if (!find_in_path(command, path, size)) return PROGRAM_UNKNOWN;
  for (int depth = 0; depth < SCRIPT_DEPTH; depth++) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), kind = PROGRAM_UNKNOWN;
    if (fd < 0) return PROGRAM_UNKNOWN;
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, head, sizeof head - 1) : -1;
    if (n >= (ssize_t)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG)) {
      Elf64_Ehdr h;
      memcpy(&h, head, sizeof h);
      kind = st.st_mode & (S_ISUID | S_ISGID) ? PROGRAM_PRIVILEGED : elf_kind(fd, &h);
    }
    close(fd);
    if (n < 3 || head[0] != '#' || head[1] != '!') return kind;
    head[n] = 0;
    char *p = head + 2 + strspn(head + 2, " \t");
    p[strcspn(p, " \t\r\n")] = 0;
    if (*p != '/' || snprintf(path, size, "%s", p) >= (int)size) return PROGRAM_UNKNOWN;
  }
  return PROGRAM_UNKNOWN;
}

int has_library(pid_t pid) {
  static const char name[] = "libvrift_shim.so";
  char file[64], buf[16384];
  size_t kept = 0;
  ssize_t n;
  int found = 0;
  snprintf(file, sizeof file, "/proc/%d/maps", (int)pid);
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  while (!found && (n = read(fd, buf + kept, sizeof buf - kept)) > 0) {
    size_t have = kept + (size_t)n;
    found = memmem(buf, have, name, sizeof name - 1) != NULL;
    kept = have < sizeof name ? have : sizeof name; /* the name may lie across two reads */
    memmove(buf, buf + have - kept, kept);
  }
  close(fd);
  return found;
}
