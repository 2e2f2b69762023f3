/** Things by what `key` says of them, in the order they came. */
export function grouped<T, K>(all: Iterable<T>, key: (each: T) => K): Map<K, T[]> {
  const found = new Map<K, T[]>();
  for (const each of all) {
    const own = found.get(key(each));
    if (own) own.push(each);
    else found.set(key(each), [each]);
  }
  return found;
}
