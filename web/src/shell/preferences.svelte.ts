/** What the reader chose, kept in this browser. */

export type Theme = 'system' | 'light' | 'dark';
/** The log's column of times: none, since the start of the build, by the clock. */
export type Times = 'off' | 'since' | 'clock';

const THEMES: readonly Theme[] = ['system', 'light', 'dark'];
const TIMES: readonly Times[] = ['off', 'since', 'clock'];
const THEME_KEY = 'autobuilder.theme';
const WRAP_KEY = 'autobuilder.wrap';
const TIMES_KEY = 'autobuilder.times';

class Preferences {
  theme = $state<Theme>('system');
  wrap = $state(false);
  times = $state<Times>('off');

  start(): void {
    const theme = read(THEME_KEY) as Theme;
    this.theme = THEMES.includes(theme) ? theme : 'system';
    this.wrap = read(WRAP_KEY) === 'yes';
    const times = read(TIMES_KEY) as Times;
    this.times = TIMES.includes(times) ? times : 'off';
    this.apply();
  }

  nextTheme(): void {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] ?? 'system';
    write(THEME_KEY, this.theme);
    this.apply();
  }

  toggleWrap(): void {
    this.wrap = !this.wrap;
    write(WRAP_KEY, this.wrap ? 'yes' : 'no');
  }

  nextTimes(): void {
    this.times = TIMES[(TIMES.indexOf(this.times) + 1) % TIMES.length] ?? 'off';
    write(TIMES_KEY, this.times);
  }

  private apply(): void {
    document.documentElement.dataset['theme'] = this.theme;
  }
}

// Storage may be forbidden or full; the page then simply does not remember.
function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    return;
  }
}

export const preferences = new Preferences();
