/** The log's search in the page's address: `?find=text&case=1&regex=1`. Other parameters are left alone. */
import type { LogQuery } from '../api/log';

export function queryOf(search: string): LogQuery | null {
  const parameters = new URLSearchParams(search);
  const text = parameters.get('find') ?? '';
  if (text === '') return null;
  return { text, case: parameters.get('case') === '1', regex: parameters.get('regex') === '1' };
}

export function withQuery(search: string, query: LogQuery | null): string {
  const parameters = new URLSearchParams(search);
  for (const name of ['find', 'case', 'regex']) parameters.delete(name);
  if (query) parameters.set('find', query.text);
  if (query?.case) parameters.set('case', '1');
  if (query?.regex) parameters.set('regex', '1');
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}
