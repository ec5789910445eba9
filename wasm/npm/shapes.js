// The plain objects that results become, by the names that JavaScript gives to their fields.

export const parseJson = (text) => JSON.parse(text);
export const about = (version, createdTime, customMetadata) => ({ version, createdTime, customMetadata });
export const change = (oldVersion, newVersion) => ({ oldVersion, newVersion });
export const written = (version, createdTime) => ({ version, createdTime });
export const renewal = (leaseDuration, renewable) => ({ leaseDuration, renewable });
export const uri = (text, provider, mount, path, fragment, version) => ({ text, provider, mount, path, fragment, version });

// What has lists in it is filled piece by piece. What fills it is no part of what users see.

/** An object of texts, such as `custom_metadata`. */
export class Texts {
  #texts = {};

  add(name, value) {
    // A plain assignment would take `__proto__` for something else.
    Object.defineProperty(this.#texts, name, { value, enumerable: true, configurable: true, writable: true });
  }

  static plain(texts) {
    return { ...texts.#texts };
  }
}

/** What OpenBao says of the client's token. */
export class Token {
  policies = [];

  constructor(accessor, ttl, renewable, numUses) {
    Object.assign(this, { accessor, ttl, renewable, numUses });
  }

  add(policy) {
    this.policies.push(policy);
  }
}

/** The versions of a secret. What people wrote into its metadata is not shown by a log. */
export class Versions {
  #customMetadata;
  versions = [];

  constructor(currentVersion, customMetadata) {
    this.currentVersion = currentVersion;
    this.#customMetadata = customMetadata;
  }

  get customMetadata() {
    return Texts.plain(this.#customMetadata);
  }

  add(version, createdTime, deletionTime, destroyed) {
    this.versions.push({ version, createdTime, deletionTime: deletionTime ?? null, destroyed });
  }
}
