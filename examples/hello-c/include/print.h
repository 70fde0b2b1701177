#ifndef PRINT_H
#define PRINT_H
#include <stdio.h>
#include "table.h"
void print_entries(FILE *to, const struct entry *entries, size_t n);
#endif
