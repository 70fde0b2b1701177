/* The handler that keeps a cut-off file of ours from ending a program (core/vr_bus.h), and hides: what the program says and asks about SIGBUS
 * is kept here, and any SIGBUS that is not about our mappings reaches it as if we were not there. Installed with the first mapping, never
 * when SIGBUS is ignored (exec would hand that on, but not a handler). A thread that blocks SIGBUS is not protected. */
#include <string.h>
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"
#include "vr_bus.h"
#include "vr_sys.h"
#include "writer.h"

static struct sigaction theirs WARM_BSS; /* what the program believes to be installed */
static int installed WARM_BSS, busy WARM_BSS;

/* As the kernel knows it: no function of libc has to be found for a process that only maps and ends. */
struct kernel_action {
  void *handler;
  unsigned long flags;
  void *restorer;
  uint64_t mask;
};
#if defined(__x86_64__)
#define RESTORER 0x04000000
extern char shim_bus_return[] HIDDEN;
/* These very bytes are how debuggers and unwinders know a signal frame. */
__asm__(".text\n.hidden shim_bus_return\nnop\nshim_bus_return:\n mov $15, %rax\n syscall\n");
#else
#define RESTORER 0
static char shim_bus_return[1];
#endif

static long kernel_put(void *handler, unsigned long flags, const sigset_t *mask, struct kernel_action *old) {
  struct kernel_action a = {handler, flags | RESTORER, RESTORER ? shim_bus_return : NULL, 0};
  if (mask) memcpy(&a.mask, mask, sizeof a.mask);
  return vr_sys6(SYS_rt_sigaction, SIGBUS, (long)&a, (long)old, sizeof a.mask, 0, 0);
}

static void on_bus(int sig, siginfo_t *info, void *context) {
  int saved = errno;
  if (info->si_code > 0 && vr_bus_cover(info->si_addr)) {
    errno = saved;
    return;
  }
  struct sigaction act = theirs;
  if (act.sa_handler == SIG_DFL) {
    kernel_put(SIG_DFL, (unsigned)act.sa_flags, &act.sa_mask, NULL);
    if (info->si_code <= 0) raw3(SYS_tgkill, raw_getpid(), raw_gettid(), sig); /* sent: once more, now with the default */
    errno = saved;
    return; /* a fault: the access is repeated and ends the program where it would have */
  }
  if (act.sa_flags & SA_RESETHAND) theirs.sa_handler = SIG_DFL;
  errno = saved;
  if (act.sa_flags & SA_SIGINFO) act.sa_sigaction(sig, info, context);
  else act.sa_handler(sig);
}

/* The kernel gets the program's mask and flags, so that its handler runs under them. */
static long put(const struct sigaction *act) {
  if (act->sa_handler == SIG_DFL) return kernel_put((void *)(uintptr_t)on_bus, SA_SIGINFO | SA_ONSTACK | SA_RESTART, NULL, NULL);
  return kernel_put((void *)(uintptr_t)on_bus, (unsigned)((act->sa_flags & ~(int)SA_RESETHAND) | SA_SIGINFO), &act->sa_mask, NULL);
}

void shim_bus_protect(void) {
  struct kernel_action was;
  if (__atomic_load_n(&installed, __ATOMIC_ACQUIRE) || shim_in_vfork_child() || __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) return;
  if (!installed && vr_sys6(SYS_rt_sigaction, SIGBUS, 0, (long)&was, sizeof was.mask, 0, 0) == 0 && was.handler != (void *)SIG_IGN) {
    theirs = (struct sigaction){.sa_sigaction = (void (*)(int, siginfo_t *, void *))(uintptr_t)was.handler, .sa_flags = (int)was.flags};
    memcpy(&theirs.sa_mask, &was.mask, sizeof was.mask);
    if (put(&theirs) == 0) __atomic_store_n(&installed, 1, __ATOMIC_RELEASE);
  }
  __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

int hook_sigaction(int sig, const struct sigaction *act, struct sigaction *old) {
  if (sig != SIGBUS || !__atomic_load_n(&installed, __ATOMIC_ACQUIRE) || shim_in_vfork_child())
    return HAVE(sigaction) ? real.sigaction(sig, act, old) : (errno = ENOSYS, -1);
  struct sigaction was = theirs, now;
  if (act) {
    now = *act;
    int ignored = now.sa_handler == SIG_IGN;
    long r = ignored ? kernel_put(SIG_IGN, (unsigned)now.sa_flags, &now.sa_mask, NULL) : put(&now);
    if (r < 0) return (errno = (int)-r), -1;
    now.sa_flags |= RESTORER; /* as libc would report it */
    if (ignored) __atomic_store_n(&installed, 0, __ATOMIC_RELEASE); /* unprotected from here on */
    else theirs = now;
  }
  if (old) *old = was;
  return 0;
}
ALIASES_sigaction

static sighandler_t as_signal(int sig, sighandler_t handler, int flags, int masked) {
  struct sigaction act = {.sa_handler = handler, .sa_flags = flags}, old;
  if (handler == SIG_ERR) {
    errno = EINVAL;
    return SIG_ERR;
  }
  if (masked) sigaddset(&act.sa_mask, sig);
  return hook_sigaction(sig, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}
sighandler_t hook_signal(int sig, sighandler_t handler) {
  if (sig == SIGBUS && installed) return as_signal(sig, handler, SA_RESTART, 1);
  if (!HAVE(signal)) return SIG_ERR;
  return real.signal(sig, handler);
}
ALIASES_signal
sighandler_t hook_sysv_signal(int sig, sighandler_t handler) {
  if (sig == SIGBUS && installed) return as_signal(sig, handler, (int)(SA_RESETHAND | SA_NODEFER), 0);
  if (!HAVE(sysv_signal)) return SIG_ERR;
  return real.sysv_signal(sig, handler);
}
ALIASES_sysv_signal
