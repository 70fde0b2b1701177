package dev.vrift.platform;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;

/** An exception in words for people: many exceptions of files carry nothing but the name. */
public final class Trouble {
  private Trouble() {}

  /** What went wrong, with the file if it is known. Never null or empty, never the name of a class that says nothing to a user. */
  public static String of(Exception e) {
    String why =
        switch (e) {
          case AccessDeniedException x -> "permission denied";
          case NoSuchFileException x -> "no such file or directory";
          case FileAlreadyExistsException x -> "is there already";
          case NotDirectoryException x -> "is no directory";
          case DirectoryNotEmptyException x -> "is not empty";
          case CharacterCodingException x -> "is not UTF-8 text";
          default -> null;
        };
    if (e instanceof FileSystemException f && f.getFile() != null) {
      String text = f.getReason() != null ? f.getReason() : why != null ? why : "does not work";
      return f.getFile().concat(": ").concat(text);
    }
    if (why != null) {
      return why;
    }
    String message = e.getMessage();
    return message != null && !message.isBlank() && e instanceof IOException ? message : message == null ? e.toString() : e.getClass().getSimpleName().concat(": ").concat(message);
  }
}
