package dev.vrift.coordinator;

import java.util.ArrayDeque;
import java.util.random.RandomGenerator;

/**
 * When a project's daemon that died is started again: at once if it had lived for 5 s, else after 0.1 s, doubling to 30 s, each with up to a quarter of jitter so that many
 * projects do not start at once; more than 5 deaths within 60 s end in quarantine (restart intensity as in OTP supervisors). A daemon that lived
 * 60 s starts from the beginning. Not thread-safe; times in ms of any steady clock.
 */
public final class RestartPolicy {
  public static final long FIRST_DELAY_MS = 100;
  /** Who lived this long was no crash loop: its successor goes on at once. */
  public static final long CALM_MS = 5_000;
  public static final long MAX_DELAY_MS = 30_000;
  public static final long WINDOW_MS = 60_000;
  public static final int MAX_DEATHS = 5;
  /** Answer of {@link #died}: do not start again. */
  public static final long QUARANTINE = -1;

  private final RandomGenerator random;
  private final ArrayDeque<Long> deaths = new ArrayDeque<>();
  private long delay = FIRST_DELAY_MS;

  public RestartPolicy(RandomGenerator random) {
    this.random = random;
  }

  /** The daemon that was started at {@code started} died at {@code now}: ms to wait, or {@link #QUARANTINE}. */
  public long died(long started, long now) {
    if (now - started >= WINDOW_MS) {
      delay = FIRST_DELAY_MS;
    }
    deaths.addLast(now);
    while (!deaths.isEmpty() && now - deaths.peekFirst() >= WINDOW_MS) {
      deaths.removeFirst();
    }
    if (deaths.size() > MAX_DEATHS) {
      return QUARANTINE;
    }
    if (now - started >= CALM_MS) {
      return 0;
    }
    long wait = delay + random.nextLong(delay / 4 + 1);
    delay = Math.min(delay * 2, MAX_DELAY_MS);
    return wait;
  }

  /** Deaths within the last minute, as of the last one. */
  public int recentDeaths() {
    return deaths.size();
  }

  /** Somebody asked for it: everything is forgiven. */
  public void forgive() {
    deaths.clear();
    delay = FIRST_DELAY_MS;
  }
}
