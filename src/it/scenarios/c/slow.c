/* Writes FILE in twenty steps over a second, closes it, prints the result of close. Usage: slow FILE */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int fd = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
  if (fd < 0) return 2;
  for (int i = 0; i < 20; i++) {
    if (write(fd, "0123456789\n", 11) != 11) return 1;
    usleep(50000);
  }
  printf("close %d\n", close(fd));
  return 0;
}
