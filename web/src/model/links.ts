/** Addresses that come from outside may carry any scheme; only these two are followed. */
export function isWebAddress(url: string | null): url is string {
  if (url === null) return false;
  try {
    return /^https?:$/.test(new URL(url, location.href).protocol);
  } catch {
    return false;
  }
}
