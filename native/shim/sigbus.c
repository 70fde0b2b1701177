/* The handler that keeps a cut-off file of ours from ending a program (core/vr_bus.h), and hides: what the program says and asks about SIGBUS
 * is kept here, and any SIGBUS that is not about our mappings reaches it as if we were not there. Installed with the first mapping, never
 * when SIGBUS is ignored (exec would hand that on, but not a handler). A thread that blocks SIGBUS is not protected. */
#include <string.h>
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"
#include "vr_bus.h"
#include "writer.h"

static struct sigaction theirs; /* what the program believes to be installed */
static int installed, busy;

static void on_bus(int sig, siginfo_t *info, void *context) {
  int saved = errno;
  if (info->si_code > 0 && vr_bus_cover(info->si_addr)) {
    errno = saved;
    return;
  }
  struct sigaction act = theirs;
  if (act.sa_handler == SIG_DFL) {
    real.sigaction(SIGBUS, &act, NULL);
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
static int put(const struct sigaction *act) {
  struct sigaction ours = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  int handled = act->sa_handler != SIG_DFL;
  if (handled) ours.sa_mask = act->sa_mask, ours.sa_flags = (act->sa_flags & ~(int)SA_RESETHAND) | SA_SIGINFO;
  return real.sigaction(SIGBUS, &ours, NULL);
}

void shim_bus_protect(void) {
  if (__atomic_load_n(&installed, __ATOMIC_ACQUIRE) || !real.sigaction || shim_in_vfork_child() || __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) return;
  int saved = errno;
  if (!installed && real.sigaction(SIGBUS, NULL, &theirs) == 0 && theirs.sa_handler != SIG_IGN && put(&theirs) == 0)
    __atomic_store_n(&installed, 1, __ATOMIC_RELEASE);
  errno = saved;
  __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

int hook_sigaction(int sig, const struct sigaction *act, struct sigaction *old) {
  if (__builtin_expect(!real.sigaction, 0) && !shim_late_real((void **)&real.sigaction, "sigaction")) {
    errno = ENOSYS;
    return -1;
  }
  if (sig != SIGBUS || !__atomic_load_n(&installed, __ATOMIC_ACQUIRE) || shim_in_vfork_child()) return real.sigaction(sig, act, old);
  struct sigaction was = theirs, now;
  if (act) {
    now = *act;
    int ignored = now.sa_handler == SIG_IGN;
    if ((ignored ? real.sigaction(SIGBUS, &now, NULL) : put(&now)) < 0) return -1;
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
  if (__builtin_expect(!real.signal, 0) && !shim_late_real((void **)&real.signal, "signal")) return SIG_ERR;
  return real.signal(sig, handler);
}
ALIASES_signal
sighandler_t hook_sysv_signal(int sig, sighandler_t handler) {
  if (sig == SIGBUS && installed) return as_signal(sig, handler, (int)(SA_RESETHAND | SA_NODEFER), 0);
  if (__builtin_expect(!real.sysv_signal, 0) && !shim_late_real((void **)&real.sysv_signal, "sysv_signal")) return SIG_ERR;
  return real.sysv_signal(sig, handler);
}
ALIASES_sysv_signal
