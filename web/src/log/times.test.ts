import { describe, expect, it, vi } from 'vitest';
import { LineTimes, sinceStart } from './times';

const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('times of lines', () => {
  it('hold until the line at which they change', async () => {
    const fetchTimes = vi.fn(() =>
      Promise.resolve({
        times: [
          { line: 1001, time: '2026-01-02T03:04:05.000Z' },
          { line: 1500, time: '2026-01-02T03:04:06.500Z' },
        ],
      }),
    );
    const times = new LineTimes(fetchTimes, () => undefined);
    times.want(1200, 1250, 10_000);
    await settled();
    times.want(1210, 1260, 10_000);
    expect(fetchTimes).toHaveBeenCalledTimes(1);
    expect(fetchTimes).toHaveBeenCalledWith(1001, 1000, expect.anything());
    expect(times.at(1499)).toBe(Date.parse('2026-01-02T03:04:05.000Z'));
    expect(times.at(1500)).toBe(Date.parse('2026-01-02T03:04:06.500Z'));
    expect(times.at(999)).toBeNull();
  });

  it('are asked for again where the log has grown', async () => {
    vi.useFakeTimers();
    const fetchTimes = vi.fn(() => Promise.resolve({ times: [] }));
    const times = new LineTimes(fetchTimes, () => undefined);
    times.want(1, 10, 10);
    await vi.advanceTimersByTimeAsync(1);
    times.want(1, 20, 20);
    expect(fetchTimes).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(fetchTimes).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(5000);
    expect(fetchTimes).toHaveBeenCalledTimes(2);
    vi.useRealTimers();
  });
});

it.each([
  [0, '0:00.0'],
  [41_370, '0:41.3'],
  [3_765_000, '1:02:45.0'],
  [-500, '0:00.0'],
])('%i ms after the start reads %s', (ms, text) => {
  expect(sinceStart(1_000_000 + ms, 1_000_000)).toBe(text);
});
