/* Orders entries: most frequent first, then by the alphabet. */
#ifndef ORDER_H
#define ORDER_H
#include "table.h"
void order_by_count(struct entry *entries, size_t n);
#endif
