#ifndef OPTIONS_H
#define OPTIONS_H
struct options {
  unsigned long top; /* words to print */
  int first_file;    /* index in argv */
};
/* 0, or -1 after a message on stderr. */
int options_parse(int argc, char **argv, struct options *out);
#endif
