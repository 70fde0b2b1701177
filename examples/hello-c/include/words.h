/* Splits text into words: runs of letters, in lower case. */
#ifndef WORDS_H
#define WORDS_H
#include <stdio.h>
#define WORD_MAX 64
/* Reads the next word of f into word[WORD_MAX]; longer ones are cut. Returns its length, 0 at the end. */
size_t words_next(FILE *f, char *word);
#endif
