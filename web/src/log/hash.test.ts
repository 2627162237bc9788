import { expect, it } from 'vitest';
import { parseLineHash } from './hash';

it.each([
  ['#L120', { first: 120, last: 120 }],
  ['#L120-L130', { first: 120, last: 130 }],
  ['#L120-130', { first: 120, last: 130 }],
  ['#L130-L120', { first: 120, last: 130 }],
  ['', null],
  ['#L0', null],
  ['#L-5', null],
  ['#L1e9', null],
  ['#elsewhere', null],
])('reads %s', (hash, range) => {
  expect(parseLineHash(hash)).toEqual(range);
});
