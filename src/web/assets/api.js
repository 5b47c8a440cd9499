/**
 * The REST door: one `fetch`, the success envelope opened, every failure an `ApiError` that
 * carries the stable `code`, the sentence for people and the sentences for single fields.
 */

export class ApiError extends Error {
  constructor({ status, code, detail, errors = [] }) {
    super(detail);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.errors = errors;
  }
}

/**
 * @param {{token: () => ?string, language: () => string, onUnauthorized: () => void}} hooks
 */
export function createApi({ token, language, onUnauthorized }) {
  async function send(method, path, body) {
    const sent = token();
    const headers = { Accept: 'application/json', 'Accept-Language': language() };
    if (sent) headers.Authorization = `Bearer ${sent}`;
    if (body !== undefined) headers['Content-Type'] = 'application/json';

    let response;
    let answer;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: 'omit', // no cookie ever authenticates
        signal: AbortSignal.timeout(20_000),
      });
      answer = await response.json().catch(() => null);
    } catch {
      throw new ApiError({ status: 0, code: 'network' });
    }
    if (response.ok) return answer;
    if (response.status === 401 && sent && sent === token()) onUnauthorized();
    throw new ApiError({
      status: response.status,
      code: answer?.code ?? 'unknown',
      detail: answer?.detail,
      errors: answer?.errors,
    });
  }

  const opened = (answer) => (answer?.status === 'OK' ? answer.data : answer);
  return {
    get: (path) => send('GET', path).then(opened),
    post: (path, body = {}) => send('POST', path, body).then(opened),
    put: (path, body) => send('PUT', path, body).then(opened),
    delete: (path) => send('DELETE', path).then(opened),
    /** One page of a list: its rows, how many there are in all, and what else the server says of it. */
    list: (path) =>
      send('GET', path).then(({ data, page, ...beside }) => ({ rows: data, total: page?.total ?? data.length, beside })),
  };
}

/** A query string of what is set. */
export function query(values) {
  const set = Object.entries(values).filter(([, value]) => value !== '' && value !== undefined);
  return set.length ? `?${new URLSearchParams(set)}` : '';
}
