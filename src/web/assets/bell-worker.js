/**
 * Phones let a service worker alone show notifications. This one does nothing else: it stands
 * between no page and no network.
 */

addEventListener('notificationclick', (event) => {
  event.notification.close();
  const bringBack = async () => {
    const [page] = await clients.matchAll({ type: 'window', includeUncontrolled: true });
    return page ? page.focus() : clients.openWindow('/');
  };
  event.waitUntil(bringBack());
});
