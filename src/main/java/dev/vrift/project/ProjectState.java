package dev.vrift.project;

/** Where a project stands, as {@code status} says it. */
enum ProjectState {
  SCANNING("scanning"),
  SERVING("serving"),
  NATIVE("native"),
  STOPPED("stopped");

  private final String text;

  ProjectState(String text) {
    this.text = text;
  }

  String text() {
    return text;
  }
}
