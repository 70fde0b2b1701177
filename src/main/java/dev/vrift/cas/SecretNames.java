package dev.vrift.cas;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** Which files are never copied anywhere: keys, passwords, tokens, by name alone (case does not matter). */
public final class SecretNames {
  private static final Set<String> NAMES =
      Set.of(
          ".npmrc", ".netrc", "_netrc", ".pypirc", ".pgpass", ".my.cnf", ".htpasswd", ".git-credentials", ".dockercfg", ".vault-token", ".s3cfg",
          ".boto", "kubeconfig", "master.key", "shadow");
  private static final List<String> PREFIXES = List.of(".env", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "credentials", "secrets", "secret.", "service-account");
  private static final List<String> SUFFIXES =
      List.of(".pem", ".key", ".p12", ".pfx", ".p8", ".jks", ".keystore", ".kdbx", ".asc", ".gpg", ".ppk", ".ovpn", ".tfstate", ".tfvars", ".env");
  private static final Set<String> DIRECTORIES = Set.of(".ssh", ".gnupg", ".aws", ".kube", ".docker", ".azure", ".gcloud");

  private SecretNames() {}

  /** {@code path}: bytes, components separated by slashes. */
  public static boolean matches(byte[] path) {
    String[] parts = new String(path, StandardCharsets.ISO_8859_1).toLowerCase(Locale.ROOT).split("/");
    String base = parts[parts.length - 1];
    if (NAMES.contains(base) || PREFIXES.stream().anyMatch(base::startsWith) || SUFFIXES.stream().anyMatch(base::endsWith)) {
      return true;
    }
    for (int i = 0; i < parts.length - 1; i++) {
      if (DIRECTORIES.contains(parts[i])) {
        return true;
      }
    }
    return false;
  }
}
