#include "words.h"
#include <ctype.h>

size_t words_next(FILE *f, char *word) {
  size_t n = 0;
  for (int c; (c = getc(f)) != EOF;) {
    if (isalpha(c)) {
      if (n < WORD_MAX - 1) word[n++] = (char)tolower(c);
    } else if (n) {
      break;
    }
  }
  word[n] = 0;
  return n;
}
