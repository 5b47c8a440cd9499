/**
 * Wakes its page after so many milliseconds: a page that nobody looks at has its own timers put off
 * by up to a minute, a worker's are on time.
 */

let timer;
onmessage = ({ data: delay }) => {
  clearTimeout(timer);
  if (delay !== null) timer = setTimeout(() => postMessage(null), delay);
};
