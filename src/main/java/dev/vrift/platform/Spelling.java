package dev.vrift.platform;

import java.util.Collection;
import java.util.TreeSet;

/** What people may have meant by a word that is none. */
public final class Spelling {
  /** More letters wrong than this is another word. */
  private static final int MOST = 2;

  private Spelling() {}

  /** The one at the smallest edit distance, or null when none is near. Of short words at least half must be right. */
  public static String nearest(String word, Collection<String> known) {
    String best = null;
    int least = Math.min(MOST, word.length() / 2) + 1;
    for (String name : new TreeSet<>(known)) {
      int d = distance(word, name);
      if (d < least) {
        least = d;
        best = name;
      }
    }
    return best;
  }

  /** {@code " (did you mean 'x'?)"}, or nothing. */
  public static String hint(String word, Collection<String> known) {
    String meant = nearest(word, known);
    return meant == null ? "" : " (did you mean '".concat(meant).concat("'?)");
  }

  /** Letters to insert, remove or replace, and neighbours to exchange. */
  private static int distance(String a, String b) {
    int[][] d = new int[a.length() + 1][b.length() + 1];
    for (int i = 0; i <= a.length(); i++) {
      for (int j = 0; j <= b.length(); j++) {
        if (i == 0 || j == 0) {
          d[i][j] = i + j;
          continue;
        }
        boolean same = a.charAt(i - 1) == b.charAt(j - 1);
        d[i][j] = Math.min(d[i - 1][j - 1] + (same ? 0 : 1), 1 + Math.min(d[i - 1][j], d[i][j - 1]));
        if (i > 1 && j > 1 && a.charAt(i - 1) == b.charAt(j - 2) && a.charAt(i - 2) == b.charAt(j - 1)) {
          d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
        }
      }
    }
    return d[a.length()][b.length()];
  }
}
