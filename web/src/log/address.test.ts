import { expect, it } from 'vitest';
import { queryOf, withQuery } from './address';

it('keeps a search in the address, with all that belongs to it', () => {
  const query = { text: 'a+b & c', case: true, regex: true };
  expect(queryOf(withQuery('', query))).toEqual(query);
  expect(queryOf(withQuery('?case=1', { ...query, case: false }))).toEqual({ ...query, case: false });
});

it('leaves the rest of the address alone', () => {
  expect(withQuery('?tab=facts&find=old&regex=1', null)).toBe('?tab=facts');
  expect(withQuery('?find=old', null)).toBe('');
  expect(queryOf('?tab=facts')).toBeNull();
});
