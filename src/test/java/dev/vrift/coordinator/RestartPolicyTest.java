package dev.vrift.coordinator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class RestartPolicyTest {
  private final RestartPolicy policy = new RestartPolicy(new Random(1));

  @Test
  void waitsLongerEachTimeAndGivesUpAfterFiveDeathsInAMinute() {
    long now = 1000;
    long expected = RestartPolicy.FIRST_DELAY_MS;
    for (int i = 0; i < RestartPolicy.MAX_DEATHS; i++) {
      long wait = policy.died(now, now + 10);
      assertTrue(wait >= expected && wait <= expected + expected / 4, "death " + i + ": " + wait);
      expected *= 2;
      now += 20;
    }
    assertEquals(RestartPolicy.QUARANTINE, policy.died(now, now + 10));
    policy.forgive();
    long wait = policy.died(now, now + 10);
    assertTrue(wait >= RestartPolicy.FIRST_DELAY_MS && wait <= RestartPolicy.FIRST_DELAY_MS * 5 / 4);
  }

  @Test
  void whoLivedAWhileIsStartedAgainAtOnceButNotForEver() {
    long now = 0;
    for (int i = 0; i < RestartPolicy.MAX_DEATHS; i++) {
      assertEquals(0, policy.died(now, now + RestartPolicy.CALM_MS));
      now += RestartPolicy.CALM_MS;
    }
    assertEquals(RestartPolicy.QUARANTINE, policy.died(now, now + RestartPolicy.CALM_MS));
  }

  @Test
  void rareDeathsNeverQuarantineAndALongLifeForgives() {
    long now = 0;
    for (int i = 0; i < 100; i++) {
      long wait = policy.died(now, now + RestartPolicy.WINDOW_MS);
      assertNotEquals(RestartPolicy.QUARANTINE, wait);
      assertTrue(wait <= RestartPolicy.FIRST_DELAY_MS * 5 / 4);
      now += RestartPolicy.WINDOW_MS + wait;
    }
  }

  @Test
  void neverWaitsLongerThanTheLimit() {
    long now = 0;
    for (int i = 0; i < 50; i++) {
      long wait = policy.died(now, now + 1);
      assertNotEquals(RestartPolicy.QUARANTINE, wait);
      assertTrue(wait <= RestartPolicy.MAX_DELAY_MS * 5 / 4);
      now += RestartPolicy.WINDOW_MS / 4;
    }
  }
}
